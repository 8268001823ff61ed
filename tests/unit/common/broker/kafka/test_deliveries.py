"""What a subscription does with records and settlements. No broker is needed: deliveries are plain objects."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import cast

import pytest
from aiokafka.structs import ConsumerRecord  # pyright: ignore[reportMissingTypeStubs] - the library has none
from structlog.testing import capture_logs

from common.broker.base import Delivery
from common.broker.kafka.cluster import TopicSettings, open_cluster
from common.broker.kafka.deliveries import Deliveries, OffsetCommit, UnsettledMessage
from common.broker.kafka.library import KafkaRecord
from common.broker.kafka.progress import WINDOW, CommitMetadata, CommittedOffset, PartitionProgress
from common.broker.kafka.publisher import Publisher
from common.broker.kafka.subscription import KafkaSubscription
from common.errors import BrokerUnavailable
from tests.servers.ports import free_port
from tests.waiting import patience

HOUR_SECONDS = 3600.0
NEW = CommittedOffset(0, "")


def record(offset: int, value: bytes | None = None, *, partition: int = 0) -> KafkaRecord:
    made = ConsumerRecord(
        topic="t",
        partition=partition,
        offset=offset,
        timestamp=0,
        timestamp_type=0,
        key=b"k",
        value=str(offset).encode() if value is None else value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=(),
    )
    return cast("KafkaRecord", made)


def assigned(*, prefetch: int = 1, committed: CommittedOffset = NEW, partitions: Sequence[int] = (0,)) -> Deliveries:
    deliveries = Deliveries("t", prefetch)
    deliveries.assign(dict.fromkeys(partitions, committed))
    return deliveries


def commit(deliveries: Deliveries) -> OffsetCommit:
    """Commit as the member does, successfully."""
    begun = deliveries.begin_commit()
    deliveries.confirm(begun)
    return begun


def take(deliveries: Deliveries) -> UnsettledMessage:
    item = deliveries.take()
    assert item is not None
    return item


def values(items: Sequence[UnsettledMessage]) -> list[str]:
    return [item.message.value.decode() for item in items]


def committed_by(commit: OffsetCommit, number: int = 0) -> CommittedOffset:
    return CommittedOffset(*commit.offsets[number])


def read_by_next_owner(at: CommittedOffset, *offsets: int) -> list[int]:
    """Return the attempts that the partition's next owner delivers these offsets with, 0 for finished."""
    progress = PartitionProgress(at.offset, CommitMetadata.parse(at.metadata).marks)
    return [progress.read(offset) for offset in offsets]


async def test_a_message_is_handed_out_only_after_a_commit_says_so() -> None:
    deliveries = assigned()
    deliveries.feed(0, [record(0)])
    assert deliveries.changed.is_set()
    assert deliveries.take() is None
    begun = deliveries.begin_commit()
    assert deliveries.take() is None
    assert read_by_next_owner(committed_by(begun), 0) == [2], "a member that dies now may have delivered it"
    deliveries.confirm(begun)
    assert deliveries.ready.is_set()
    assert take(deliveries).attempt == 1
    assert not deliveries.ready.is_set()


async def test_a_commit_that_failed_is_repeated_and_hands_out_nothing() -> None:
    deliveries = assigned()
    deliveries.feed(0, [record(0)])
    begun = deliveries.begin_commit()
    deliveries.changed.clear()
    deliveries.withdraw(begun)
    assert deliveries.changed.is_set()
    assert deliveries.take() is None
    assert commit(deliveries).offsets == begun.offsets
    assert take(deliveries).offset == 0


async def test_no_more_than_prefetch_are_in_flight_and_settling_one_stages_the_next() -> None:
    deliveries = assigned(prefetch=2)
    deliveries.feed(0, [record(offset) for offset in range(4)])
    commit(deliveries)
    first, second = take(deliveries), take(deliveries)
    assert deliveries.take() is None
    deliveries.finish(second)
    commit(deliveries)
    assert values([first, second, take(deliveries)]) == ["0", "1", "2"]
    assert deliveries.take() is None


async def test_the_lowest_unfinished_offset_is_committed_and_the_rest_is_in_the_metadata() -> None:
    deliveries = assigned(prefetch=3)
    deliveries.feed(0, [record(offset) for offset in range(3)])
    commit(deliveries)
    items = [take(deliveries) for _ in range(3)]
    deliveries.finish(items[2])
    at = committed_by(commit(deliveries))
    assert (at.offset, read_by_next_owner(at, 0, 1, 2)) == (0, [2, 2, 0])
    deliveries.finish(items[0])
    assert committed_by(commit(deliveries)).offset == 1
    deliveries.finish(items[1])
    assert committed_by(commit(deliveries)).offset == 3


async def test_a_settlement_is_done_when_its_commit_is_confirmed_and_not_before() -> None:
    deliveries = assigned()
    deliveries.feed(0, [record(0)])
    commit(deliveries)
    done = deliveries.finish(take(deliveries))
    failed = deliveries.begin_commit()
    assert not done.done()
    deliveries.withdraw(failed)
    assert not done.done()
    commit(deliveries)
    assert done.done()


async def test_a_deferred_message_waits_while_its_partition_is_read_on() -> None:
    deliveries = assigned()
    deliveries.feed(0, [record(0), record(1)])
    commit(deliveries)
    deliveries.defer(take(deliveries), HOUR_SECONDS, 2)
    at = committed_by(commit(deliveries))
    assert (at.offset, read_by_next_owner(at, 0)) == (0, [2])
    assert values([take(deliveries)]) == ["1"]


async def test_a_message_that_is_due_again_comes_before_new_ones_with_its_attempt() -> None:
    deliveries = assigned()
    deliveries.feed(0, [record(0), record(1)])
    commit(deliveries)
    deliveries.defer(take(deliveries), 0.0, 7)
    commit(deliveries)
    again = take(deliveries)
    assert (again.offset, again.attempt) == (0, 7)


async def test_a_deferred_message_that_becomes_due_is_staged_by_a_timer() -> None:
    deliveries = assigned()
    deliveries.feed(0, [record(0)])
    commit(deliveries)
    deliveries.defer(take(deliveries), 0.01, 2)
    commit(deliveries)
    deliveries.changed.clear()
    async with asyncio.timeout(patience(60)):
        await deliveries.changed.wait()
    commit(deliveries)
    assert take(deliveries).attempt == 2


async def test_a_partition_is_paused_when_its_buffer_is_full_and_others_are_read_on() -> None:
    deliveries = assigned(partitions=(0, 1))
    deliveries.feed(0, [record(offset) for offset in range(150)])
    assert deliveries.wanted() == {0: False, 1: True}
    grown: list[bool] = []
    deliveries.on_capacity = lambda: grown.append(deliveries.wanted()[0])
    for _ in range(60):
        commit(deliveries)
        deliveries.finish(take(deliveries))
    assert grown[0] is False
    assert grown[-1] is True


async def test_all_partitions_are_paused_when_too_many_bytes_wait() -> None:
    deliveries = assigned(partitions=(0, 1))
    deliveries.feed(0, [record(offset, b"x" * 1024 * 1024) for offset in range(33)])
    assert deliveries.wanted() == {0: False, 1: False}


async def test_reading_pauses_a_window_ahead_of_a_deferred_message() -> None:
    deliveries = assigned(prefetch=WINDOW)
    deliveries.feed(0, [record(offset) for offset in range(WINDOW)])
    commit(deliveries)
    poison = take(deliveries)
    deliveries.defer(poison, HOUR_SECONDS, 2)
    for _ in range(WINDOW - 1):
        deliveries.finish(take(deliveries))
    commit(deliveries)
    assert deliveries.wanted() == {0: False}


async def test_a_rebalance_passes_messages_in_flight_on_as_undelivered() -> None:
    deliveries = assigned(prefetch=2)
    deliveries.feed(0, [record(0), record(1), record(2)])
    commit(deliveries)
    take(deliveries)
    deliveries.suspend()
    assert deliveries.take() is None, "the other one is not handed out any more"
    at = committed_by(deliveries.begin_commit(hands_out=False))
    assert read_by_next_owner(at, 0, 1, 2) == [1, 1, 1]


async def test_a_partition_that_stays_keeps_its_messages_in_flight() -> None:
    deliveries = assigned(prefetch=2)
    deliveries.feed(0, [record(0), record(1)])
    commit(deliveries)
    held = take(deliveries)
    deliveries.suspend()
    last = deliveries.begin_commit(hands_out=False)
    deliveries.confirm(last)
    assert deliveries.assign({0: committed_by(last)}) == {0: 2}
    commit(deliveries)
    assert take(deliveries).offset == 1
    done = deliveries.finish(held)
    assert committed_by(commit(deliveries)).offset == 1
    assert done.done()


@pytest.mark.parametrize(
    "committed",
    [{}, {0: CommittedOffset(0, str(CommitMetadata("another", "2")))}, {0: CommittedOffset(0, "")}],
    ids=["moved away", "was another's in between", "was committed by another program"],
)
async def test_settling_a_message_of_a_lost_partition_changes_nothing(committed: dict[int, CommittedOffset]) -> None:
    deliveries = assigned()
    deliveries.feed(0, [record(0)])
    commit(deliveries)
    stale = take(deliveries)
    waiting = deliveries.finish(stale)
    deliveries.suspend()
    deliveries.assign(committed)
    assert stale.partition.lost
    assert waiting.done()
    before = committed_by(deliveries.begin_commit()) if committed else None
    assert deliveries.finish(stale).done()
    deliveries.defer(stale, 0.0, 9)
    deliveries.undo_finish(stale)
    if before is not None:
        deliveries.assign({0: before})
        assert committed_by(deliveries.begin_commit()) == before


async def test_a_lost_partition_makes_room_for_the_messages_of_others() -> None:
    deliveries = assigned(partitions=(0, 1))
    deliveries.feed(0, [record(0)])
    begun = commit(deliveries)
    deliveries.suspend()
    at = CommittedOffset(begun.offsets[1][0], begun.offsets[1][1])
    deliveries.assign({1: at})
    deliveries.feed(1, [record(0, b"other", partition=1)])
    commit(deliveries)
    assert values([take(deliveries)]) == ["other"]


async def test_the_next_owner_continues_with_the_attempts_of_the_last() -> None:
    deliveries = assigned(prefetch=5, committed=CommittedOffset(5, str(CommitMetadata("another", "3-"))))
    deliveries.feed(0, [record(5), record(6), record(7)])
    commit(deliveries)
    assert [(item.offset, item.attempt) for item in (take(deliveries), take(deliveries))] == [(5, 3), (7, 1)]
    assert deliveries.take() is None


async def test_a_topic_that_was_recreated_is_read_from_its_first_record() -> None:
    deliveries = assigned(committed=CommittedOffset(10, ""))
    deliveries.feed(0, [record(10)])
    commit(deliveries)
    stale = take(deliveries)
    deliveries.feed(0, [record(0, b"new")])
    deliveries.finish(stale)
    assert committed_by(commit(deliveries)).offset == 0
    assert values([take(deliveries)]) == ["new"]


async def test_a_finish_that_was_not_committed_in_time_can_be_undone_and_counts_against_prefetch() -> None:
    deliveries = assigned()
    deliveries.feed(0, [record(0), record(1)])
    commit(deliveries)
    held = take(deliveries)
    deliveries.finish(held)
    deliveries.undo_finish(held)
    at = committed_by(commit(deliveries))
    assert (at.offset, read_by_next_owner(at, 0, 1)) == (0, [2, 1])
    assert deliveries.take() is None
    deliveries.finish(held)
    commit(deliveries)
    assert values([take(deliveries)]) == ["1"]


async def test_giving_everything_up_resolves_those_who_wait() -> None:
    deliveries = assigned()
    deliveries.feed(0, [record(0)])
    commit(deliveries)
    done = deliveries.finish(take(deliveries))
    deliveries.lose_all()
    assert done.done()
    assert deliveries.begin_commit().offsets == {}


# A subscription's deliveries, whose dead letters go to a port that refuses connections.


async def delivery_of(deliveries: Deliveries, publisher: Publisher, *, timeout_seconds: float = 60.0) -> Delivery:
    deliveries.feed(0, [record(0)])
    commit(deliveries)
    return await anext(KafkaSubscription(deliveries, publisher, timeout_seconds=timeout_seconds))


async def test_a_dead_letter_that_cannot_be_published_leaves_the_delivery_unsettled() -> None:
    options = {"bootstrap_servers": [f"127.0.0.1:{free_port()}"], "request_timeout_ms": 1000}
    async with open_cluster(options, TopicSettings(1, 1, {}), timeout_seconds=0.2) as cluster:
        deliveries, publisher = assigned(), Publisher(cluster)
        delivery = await delivery_of(deliveries, publisher)
        with pytest.raises(BrokerUnavailable):
            await delivery.reject("invalid_message", "x")
        assert deliveries.begin_commit().offsets == {}, "nothing about it has changed"
        await delivery.release()
        assert read_by_next_owner(committed_by(deliveries.begin_commit()), 0)[0] > 0
        await publisher.close()


async def test_an_ack_that_is_not_committed_in_time_may_be_tried_again() -> None:
    async with open_cluster({}, TopicSettings(1, 1, {}), timeout_seconds=1.0) as cluster:
        deliveries = assigned()
        delivery = await delivery_of(deliveries, Publisher(cluster), timeout_seconds=0.01)
        with pytest.raises(BrokerUnavailable, match="0:0"):
            await delivery.ack()
        assert committed_by(commit(deliveries)).offset == 0
        acked = asyncio.ensure_future(delivery.ack())
        await asyncio.sleep(0)
        assert committed_by(commit(deliveries)).offset == 1
        await acked
        with pytest.raises(RuntimeError, match="settled once"):
            await delivery.ack()


async def test_settling_after_the_partition_was_lost_is_logged() -> None:
    async with open_cluster({}, TopicSettings(1, 1, {}), timeout_seconds=1.0) as cluster:
        deliveries = assigned()
        delivery = await delivery_of(deliveries, Publisher(cluster))
        deliveries.lose_all()
        with capture_logs() as logs:
            await delivery.retry(timedelta(0))
        assert [(log["event"], log["settlement"]) for log in logs] == [("broker.lease_lost", "retry")]


@pytest.mark.parametrize("how", ["left", "closed"])
async def test_ending_a_subscription_wakes_those_who_wait(how: str) -> None:
    async with open_cluster({}, TopicSettings(1, 1, {}), timeout_seconds=1.0) as cluster:
        subscription = KafkaSubscription(assigned(), Publisher(cluster), timeout_seconds=1.0)
        waiting = asyncio.ensure_future(anext(subscription))
        await asyncio.sleep(0)
        subscription.end("left" if how == "left" else "closed")
        with pytest.raises(StopAsyncIteration if how == "left" else BrokerUnavailable):
            await waiting
