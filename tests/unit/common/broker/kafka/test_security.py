"""TLS and SASL connections to Kafka, and errors at the start that name the wrong setting."""

from __future__ import annotations

import uuid
from contextlib import AbstractAsyncContextManager

import pytest

from common.broker import open_broker
from common.broker.base import Broker
from common.errors import BrokerUnavailable
from common.settings import SharedSettings, load
from common.settings_errors import SettingsError
from tests.servers.certificates import Certificates
from tests.servers.kafka import ADMIN, STRANGER, Kafka
from tests.servers.kafka_topics import create_topic


@pytest.fixture
def topic() -> str:
    return f"test.{uuid.uuid4().hex}"


@pytest.fixture
def certificates(scram: Kafka) -> Certificates:
    if scram.certificates is None:
        pytest.skip("the TLS listener's certificates are made with the openssl program; not on PATH")
    return scram.certificates


@pytest.fixture
def scram(kafka: Kafka) -> Kafka:
    if not kafka.scram:
        pytest.skip("KAFKA_BROKERS names a broker: TLS and SASL are tested on the listeners of our own")
    return kafka


def opened(kafka: Kafka, **overrides: str) -> AbstractAsyncContextManager[Broker]:
    environment = kafka.environment(**{"KAFKA_TIMEOUT_SECONDS": "3", "BROKER_LEASE_SECONDS": "1"} | overrides)
    return open_broker(SharedSettings.model_validate({name.lower(): value for name, value in environment.items()}))


def tls(kafka: Kafka, certificates: Certificates, **overrides: str) -> AbstractAsyncContextManager[Broker]:
    keys = {
        "KAFKA_BROKERS": kafka.tls,
        "KAFKA_ENABLE_TLS": "true",
        "KAFKA_CA_FILE": str(certificates.authority),
        "KAFKA_CERT_FILE": str(certificates.client_certificate),
        "KAFKA_KEY_FILE": str(certificates.client_key),
    }
    return opened(kafka, **keys | overrides)


def log_in(kafka: Kafka, user: tuple[str, str], **overrides: str) -> AbstractAsyncContextManager[Broker]:
    keys = {
        "KAFKA_BROKERS": kafka.scram,
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_SASL_USERNAME": user[0],
        "KAFKA_SASL_PASSWORD": user[1],
    }
    return opened(kafka, **keys | overrides)


async def round_trip(broker: Broker, topic: str) -> None:
    await broker.publish(topic, "k", b"v", {})
    async with broker.consume(topic, "g") as deliveries:
        delivery = await anext(deliveries)
        assert delivery.message.value == b"v"
        await delivery.ack()


async def refusal(opening: AbstractAsyncContextManager[Broker]) -> str:
    with pytest.raises(BrokerUnavailable) as caught:
        async with opening:
            pass
    return caught.value.detail


async def test_a_client_certificate_opens_the_tls_listener(
    kafka: Kafka, certificates: Certificates, topic: str
) -> None:
    async with tls(kafka, certificates) as broker:
        await round_trip(broker, topic)


async def test_a_wrong_tls_file_is_named(kafka: Kafka, certificates: Certificates) -> None:
    stranger = str(certificates.stranger)
    for wrong, named in (
        ({"KAFKA_CA_FILE": stranger}, "KAFKA_CA_FILE"),
        ({"KAFKA_CA_FILE": "/nowhere/ca.pem"}, "KAFKA_CA_FILE"),
        ({"KAFKA_CERT_FILE": "", "KAFKA_KEY_FILE": ""}, "KAFKA_CERT_FILE"),
        ({"KAFKA_KEY_FILE": stranger}, "KAFKA_KEY_FILE"),
    ):
        kept = {name: value for name, value in wrong.items() if value}
        opening = tls(kafka, certificates, **kept) if kept else without_certificate(kafka, certificates)
        assert named in await refusal(opening)


def without_certificate(kafka: Kafka, certificates: Certificates) -> AbstractAsyncContextManager[Broker]:
    keys = {"KAFKA_ENABLE_TLS": "true", "KAFKA_CA_FILE": str(certificates.authority)}
    return opened(kafka, **{"KAFKA_BROKERS": kafka.tls} | keys)


async def test_a_log_in_opens_the_sasl_listener(scram: Kafka, topic: str) -> None:
    async with log_in(scram, ADMIN) as broker:
        await round_trip(broker, topic)


async def test_a_wrong_log_in_is_named_and_its_password_is_not(scram: Kafka) -> None:
    said = await refusal(log_in(scram, (ADMIN[0], "planted-secret")))
    assert "KAFKA_SASL_PASSWORD" in said
    assert "planted-secret" not in said
    assert "KAFKA_SASL_MECHANISM" in await refusal(log_in(scram, ADMIN, KAFKA_SASL_MECHANISM="SCRAM-SHA-256"))


async def test_the_wrong_kind_of_listener_is_hinted_at(scram: Kafka) -> None:
    async with opened(scram, KAFKA_BROKERS=scram.scram) as broker:
        error = (await broker.health()).error
    assert "KAFKA_SASL_MECHANISM" in error


async def test_a_missing_topic_without_the_right_to_make_it_is_named(scram: Kafka, topic: str) -> None:
    async with log_in(scram, STRANGER) as broker:
        with pytest.raises(BrokerUnavailable, match=rf"{topic}.*no right"):
            await broker.publish(topic, "k", b"v", {})
        with pytest.raises(BrokerUnavailable, match=rf"{topic}.*no right"):
            async with broker.consume(topic, "g"):
                pass


async def test_a_topic_that_may_be_seen_and_not_written_is_named(scram: Kafka, topic: str) -> None:
    await create_topic(scram.bootstrap, topic)
    async with log_in(scram, STRANGER) as broker:
        with pytest.raises(BrokerUnavailable, match=topic):
            await broker.publish(topic, "k", b"v", {})


def test_brokers_without_a_port_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BROKERS", "kafka-1:9092,kafka-2")
    with pytest.raises(SettingsError, match=r"^KAFKA_BROKERS: .*host:port"):
        load(SharedSettings)
