"""What Kafka's failures mean: whether trying again may help, and what an operator reads about them."""

from __future__ import annotations

from common.broker.kafka.library import kafka_errors
from common.errors import BrokerUnavailable

_MAY_PASS = kafka_errors.NodeNotReadyError | kafka_errors.StaleMetadata | kafka_errors.UnknownTopicOrPartitionError
_DENIED = (
    kafka_errors.TopicAuthorizationFailedError
    | kafka_errors.GroupAuthorizationFailedError
    | kafka_errors.ClusterAuthorizationFailedError
)


def check(code: int) -> None:
    """Raise the KafkaError of an answer's error code, unless it is 0."""
    if code:
        raise kafka_errors.for_code(code)


def may_pass(exc: Exception) -> bool:
    """Whether trying again may help."""
    return not isinstance(exc, kafka_errors.KafkaError) or exc.retriable or isinstance(exc, _MAY_PASS)


def said(exc: Exception | None) -> str:
    """Return what an operator reads about a failure, with the setting that leads to it; "" about none."""
    if isinstance(exc, BrokerUnavailable):
        return exc.detail
    if isinstance(exc, _DENIED):
        return f"our log-in (KAFKA_SASL_USERNAME, KAFKA_CERT_FILE) has no right to it: {type(exc).__name__}"
    if isinstance(exc, kafka_errors.InvalidSessionTimeoutError):
        limits = "group.min.session.timeout.ms and group.max.session.timeout.ms"
        return f"BROKER_LEASE_SECONDS lies outside of what the brokers allow ({limits})"
    return "" if exc is None else str(exc) or type(exc).__name__
