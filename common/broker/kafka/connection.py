"""How to reach the brokers and be let in, from the settings; and why it did not work, in the operator's words.

Refuses to start without what the settings name (a certificate that cannot be read); a broker that is away is
no reason to refuse, and neither is a name that is not known yet.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from common.broker.kafka.library import Options, kafka_errors, try_connection
from common.errors import BrokerUnavailable
from common.settings import SharedSettings

HUNG_UP = "ends the connection: see whether it expects TLS (KAFKA_ENABLE_TLS) and a log-in (KAFKA_SASL_MECHANISM)"

_BACKOFF_MS = 100
_PROBE_SECONDS = 3.0


def connection_options(settings: SharedSettings) -> Options:
    """Return what every client of the library is made with.

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
    """No broker answers: it may be back later."""


class Refused(BrokerUnavailable):
    """The brokers are there and do not let us in: waiting does not help, a setting must change."""

    needs_operator = True


async def diagnose(options: Options) -> Refused | Unreachable | None:
    """Knock at each broker; return why none lets us in, or None when one does."""
    found: Refused | Unreachable | None = None
    for address in options["bootstrap_servers"]:
        host, _, port = address.rpartition(":")
        try:
            await try_connection(host.strip("[]"), int(port), {**options, "request_timeout_ms": _PROBE_SECONDS * 1000})
        except (kafka_errors.KafkaError, OSError, TimeoutError) as exc:
            said = _explain(address, exc)
            found = said if isinstance(said, Refused) or found is None else found
        else:
            return None
    return found


def _explain(address: str, exc: Exception) -> Refused | Unreachable:
    chain = list(_causes(exc))
    for cause in chain:
        if (said := _refusal(address, cause)) is not None:
            return Refused(said)
    if isinstance(exc, OSError) and (said := str(exc)):
        return Unreachable(f"KAFKA_BROKERS: {address} cannot be reached: {said}")
    if isinstance(exc, TimeoutError):
        return Unreachable(f"KAFKA_BROKERS: {address} does not answer")
    return Unreachable(f"KAFKA_BROKERS: {address} {HUNG_UP}")


def _refusal(address: str, cause: BaseException) -> str | None:
    said = None
    if isinstance(cause, ssl.SSLCertVerificationError):
        said = f"KAFKA_CA_FILE: {address} shows a certificate that is not trusted: {cause.verify_message}"
    elif isinstance(cause, ssl.SSLError) and "ALERT" in str(cause.reason):
        said = f"KAFKA_CERT_FILE: {address} refuses our certificate, or the lack of one: {cause.reason}"
    elif isinstance(cause, ssl.SSLError):
        said = f"KAFKA_ENABLE_TLS: {address} does not speak TLS as we do: {cause.reason}"
    elif isinstance(cause, kafka_errors.SaslAuthenticationFailed | kafka_errors.AuthenticationFailedError):
        said = f"KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD: {address} does not accept them"
    elif isinstance(cause, kafka_errors.UnsupportedSaslMechanismError | kafka_errors.IllegalSaslStateError):
        said = f"KAFKA_SASL_MECHANISM: {address} does not offer it: {cause}"
    return said


def _causes(exc: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = exc
    while current is not None:
        yield current
        current = current.__cause__
