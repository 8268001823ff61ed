"""What a group member decides, and what it does without any broker to talk to."""

from __future__ import annotations

import asyncio

import pytest

from common.broker.kafka.cluster import TopicSettings, open_cluster
from common.broker.kafka.connection import connection_options, describe_failure, is_transient
from common.broker.kafka.deliveries import Deliveries
from common.broker.kafka.library import kafka_errors
from common.broker.kafka.member import GroupMember, GroupMembership, next_backoff, without_commit
from common.broker.kafka.progress import CommittedOffset
from common.errors import BrokerUnavailable
from common.settings import SharedSettings
from tests.servers.ports import free_port
from tests.waiting import until


def settings() -> SharedSettings:
    return SharedSettings(kafka_brokers=f"127.0.0.1:{free_port()}", kafka_timeout_seconds=1.0)


def test_the_backoff_doubles_to_a_limit_and_is_reset_by_a_session_that_lasted() -> None:
    waits = [0.1]
    for _ in range(8):
        waits.append(next_backoff(waits[-1], session_seconds=1.0))
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-2:] == [5.0, 5.0]
    assert next_backoff(5.0, session_seconds=5.1) == 0.1


def test_heartbeats_are_sent_several_times_in_a_session() -> None:
    for session_seconds, interval_ms in ((1.0, 250), (2.0, 500), (60.0, 1000)):
        options = GroupMembership("t", "g", session_seconds, 300.0).options()
        assert options["session_timeout_ms"] == session_seconds * 1000
        assert options["heartbeat_interval_ms"] == interval_ms
        assert options["max_poll_interval_ms"] == 300_000


def test_partitions_that_were_never_committed_are_read_from_their_beginning() -> None:
    committed = {0: CommittedOffset(7, ""), 1: CommittedOffset(-1, ""), 3: CommittedOffset(0, "")}
    assert without_commit({0, 1, 2, 3}, committed) == {1, 2}


@pytest.mark.parametrize(
    ("failure", "transient"),
    [
        (kafka_errors.NodeNotReadyError(), True),
        (kafka_errors.UnknownTopicOrPartitionError(), True),
        (kafka_errors.NotLeaderForPartitionError(), True),
        (TimeoutError(), True),
        (OSError(), True),
        (kafka_errors.TopicAuthorizationFailedError(), False),
        (kafka_errors.InvalidSessionTimeoutError(), False),
    ],
)
def test_a_failure_is_retried_only_if_that_may_help(failure: Exception, transient: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert is_transient(failure) is transient


def test_a_failure_names_the_setting_that_leads_to_it() -> None:
    assert "KAFKA_SASL_USERNAME" in describe_failure(kafka_errors.GroupAuthorizationFailedError())
    assert "BROKER_LEASE_SECONDS" in describe_failure(kafka_errors.InvalidSessionTimeoutError())
    assert describe_failure(BrokerUnavailable("KAFKA_BROKERS: x")) == "KAFKA_BROKERS: x"
    assert describe_failure(TimeoutError()) == "TimeoutError"
    assert not describe_failure(None)


async def test_requests_to_an_unreachable_cluster_end_and_name_its_address() -> None:
    unreachable = settings()
    options = connection_options(unreachable)
    async with open_cluster(options, TopicSettings(1, 1, {}), timeout_seconds=0.2) as cluster:
        with pytest.raises(BrokerUnavailable, match=unreachable.kafka_brokers):
            await cluster.partitions("t")
        with pytest.raises(BrokerUnavailable, match="KAFKA_BROKERS"):
            await cluster.ensure_topic("t")
    with pytest.raises(BrokerUnavailable, match="closed"):
        await cluster.partitions("t")


async def test_a_member_that_reaches_no_broker_says_so_and_tries_on_until_it_is_cancelled() -> None:
    before = asyncio.all_tasks()
    options = connection_options(settings())
    async with open_cluster(options, TopicSettings(1, 1, {}), timeout_seconds=0.2) as cluster:
        deliveries = Deliveries("t", 1)
        deliveries.assign({0: CommittedOffset(0, "")})
        member = GroupMember(GroupMembership("t", "g", 1.0, 10.0), cluster, deliveries)
        running = asyncio.create_task(member.run())
        for _ in range(2):
            await until(lambda: bool(member.trouble))
            assert not running.done()
            member.trouble = ""
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()
        assert not member.joined.is_set()
        assert deliveries.wanted() == {}, "its partitions are lost"
    await until(lambda: asyncio.all_tasks() == before)
