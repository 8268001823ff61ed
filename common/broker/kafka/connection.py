"""The clients' connection options from the settings, and the meaning of Kafka's failures: whether a retry may help, and
what an operator reads, with the setting to look at.

Refuses unusable settings (an unreadable certificate). An unreachable broker or an unknown host name is not refused:
it may come up later.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from common.broker.kafka.library import Options, kafka_errors, try_connection
from common.errors import BrokerUnavailable
from common.settings import SharedSettings

HUNG_UP = "ends the connection: see whether it expects TLS (KAFKA_ENABLE_TLS) and a log-in (KAFKA_SASL_MECHANISM)"

_TRANSIENT = (
    kafka_errors.NodeNotReadyError
    | kafka_errors.StaleMetadata
    | kafka_errors.UnknownTopicOrPartitionError
    # Brokers that the controller has not heard for a moment do not count as replicas.
    | kafka_errors.InvalidReplicationFactorError
)
_DENIED = (
    kafka_errors.TopicAuthorizationFailedError
    | kafka_errors.GroupAuthorizationFailedError
    | kafka_errors.ClusterAuthorizationFailedError
)

_BACKOFF_MS = 100
_PROBE_SECONDS = 3.0


def connection_options(settings: SharedSettings) -> Options:
    """Return the options that every client of the library is made with.

    Raises:
        BrokerUnavailable: a certificate or key cannot be used; the detail names its setting.
    """
    options: Options = {
        "bootstrap_servers": [address.strip() for address in settings.kafka_brokers.split(",")],
        "client_id": f"butakero-{settings.instance_id}",
        "request_timeout_ms": int(settings.kafka_timeout_seconds * 1000),
        "retry_backoff_ms": _BACKOFF_MS,
        "security_protocol": _protocol(settings),
    }
    if settings.kafka_enable_tls:
        options["ssl_context"] = _tls(settings)
    if settings.kafka_sasl_mechanism:
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password.get_secret_value()
    return options


def _protocol(settings: SharedSettings) -> str:
    if settings.kafka_sasl_mechanism:
        return "SASL_SSL" if settings.kafka_enable_tls else "SASL_PLAINTEXT"
    return "SSL" if settings.kafka_enable_tls else "PLAINTEXT"


def _tls(settings: SharedSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file)
    except OSError as exc:  # ssl.SSLError is one
        raise BrokerUnavailable(f"KAFKA_CA_FILE={settings.kafka_ca_file}: {exc}") from exc
    if settings.kafka_cert_file is not None:
        try:
            context.load_cert_chain(settings.kafka_cert_file, settings.kafka_key_file)
        except OSError as exc:
            files = f"KAFKA_CERT_FILE={settings.kafka_cert_file} with KAFKA_KEY_FILE={settings.kafka_key_file}"
            raise BrokerUnavailable(f"{files}: {exc}") from exc
    return context


class Unreachable(BrokerUnavailable):
    """No broker answers; a later try may succeed."""


class Refused(BrokerUnavailable):
    """A broker answers and refuses the connection: a setting must change."""

    needs_operator = True


async def diagnose(options: Options) -> Refused | Unreachable | None:
    """Connect to each broker in turn; return why all failed, or None as soon as one accepts."""
    found: Refused | Unreachable | None = None
    for address in options["bootstrap_servers"]:
        host, _, port = address.rpartition(":")
        try:
            await try_connection(host.strip("[]"), int(port), {**options, "request_timeout_ms": _PROBE_SECONDS * 1000})
        except (kafka_errors.KafkaError, OSError, TimeoutError) as exc:
            failure = _explain(address, exc)
            found = failure if isinstance(failure, Refused) or found is None else found
        else:
            return None
    return found


def check(code: int) -> None:
    """Raise the KafkaError of a response's error code, unless it is 0."""
    if code:
        raise kafka_errors.for_code(code)


def is_transient(exc: Exception) -> bool:
    """Whether a retry may help."""
    return not isinstance(exc, kafka_errors.KafkaError) or exc.retriable or isinstance(exc, _TRANSIENT)


def describe_failure(exc: Exception | None) -> str:
    """Return the text of a failure for operators, with the setting that leads to it; "" for None."""
    if isinstance(exc, BrokerUnavailable):
        return exc.detail
    if isinstance(exc, _DENIED):
        return f"our log-in (KAFKA_SASL_USERNAME, KAFKA_CERT_FILE) has no right to it: {type(exc).__name__}"
    if isinstance(exc, kafka_errors.InvalidSessionTimeoutError):
        limits = "group.min.session.timeout.ms and group.max.session.timeout.ms"
        return f"BROKER_LEASE_SECONDS lies outside of what the brokers allow ({limits})"
    return "" if exc is None else str(exc) or type(exc).__name__


def _explain(address: str, exc: Exception) -> Refused | Unreachable:
    for cause in _causes(exc):
        if (refusal := _refusal(address, cause)) is not None:
            return Refused(refusal)
    if isinstance(exc, OSError) and (text := str(exc)):
        return Unreachable(f"KAFKA_BROKERS: {address} cannot be reached: {text}")
    if isinstance(exc, TimeoutError):
        return Unreachable(f"KAFKA_BROKERS: {address} does not answer")
    return Unreachable(f"KAFKA_BROKERS: {address} {HUNG_UP}")


def _refusal(address: str, cause: BaseException) -> str | None:
    text = None
    if isinstance(cause, ssl.SSLCertVerificationError):
        text = f"KAFKA_CA_FILE: {address} shows a certificate that is not trusted: {cause.verify_message}"
    elif isinstance(cause, ssl.SSLError) and "ALERT" in str(cause.reason):
        text = f"KAFKA_CERT_FILE: {address} refuses our certificate, or the lack of one: {cause.reason}"
    elif isinstance(cause, ssl.SSLError):
        text = f"KAFKA_ENABLE_TLS: {address} does not speak TLS as we do: {cause.reason}"
    elif isinstance(cause, kafka_errors.SaslAuthenticationFailed | kafka_errors.AuthenticationFailedError):
        text = f"KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD: {address} does not accept them"
    elif isinstance(cause, kafka_errors.UnsupportedSaslMechanismError | kafka_errors.IllegalSaslStateError):
        text = f"KAFKA_SASL_MECHANISM: {address} does not offer it: {cause}"
    return text


def _causes(exc: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = exc
    while current is not None:
        yield current
        current = current.__cause__
