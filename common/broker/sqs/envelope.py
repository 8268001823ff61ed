"""Messages as SQS and SNS carry them: a text body, and one attribute with what has no place of its own there.

Key, headers and the record of earlier copies are packed into that attribute as JSON, because SQS takes ten attributes
at most, and no control characters in them. `RequestID` stands beside it for existing clients, whose messages have only
that. Pure: refuses to know queues.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from common.broker.base import Message, encodable
from common.messages.base import CORRELATION_ID

if TYPE_CHECKING:
    from types_aiobotocore_sqs.type_defs import MessageTypeDef

ATTRIBUTE = "butakero"
REQUEST_ID = "RequestID"

_STRING = "String"
_BASE64 = "base64"
_PADDING = "="
"""Before a base64 body, which may be empty: SQS refuses an empty body."""
_NOT_TEXT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that SQS refuses in a body: those that XML 1.0 does not have."""
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message and the record of its copies.

    `attempts`: counted deliveries of earlier copies. `position`: where the first copy was read from, "" for the first.
    `due_at`: when it may be delivered, in seconds since 1970; 0: at once.
    """

    key: str
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    attempts: int = 0
    position: str = ""
    due_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Wire:
    """What is sent. `size` is what SQS and SNS count: the body, and name, type and value of each attribute."""

    body: str
    attributes: Mapping[str, Any]
    size: int


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it was received, by one receive."""

    receipt: str
    envelope: Envelope
    message: Message
    attempt: int


def encode(envelope: Envelope) -> Wire:
    """Return a message as it is sent."""
    key, headers = encodable(envelope.key, envelope.headers)
    facts: dict[str, object] = {}
    body = _as_text(envelope.value)
    if body is None:
        body = _PADDING + base64.b64encode(envelope.value).decode()
        facts["e"] = _BASE64
    if key:
        facts["k"] = key
    if headers:
        facts["h"] = headers
    if envelope.attempts:
        facts["n"] = envelope.attempts
    if envelope.position:
        facts["p"] = envelope.position
    if envelope.due_at:
        facts["d"] = round(envelope.due_at, 3)
    strings = {ATTRIBUTE: json.dumps(facts, separators=(",", ":"))}
    request_id = headers.get(CORRELATION_ID, "")
    if _ID.fullmatch(request_id):
        strings[REQUEST_ID] = request_id
    attributes = {name: {"DataType": _STRING, "StringValue": text} for name, text in strings.items()}
    size = len(body.encode()) + sum(len(name) + len(_STRING) + len(text) for name, text in strings.items())
    return Wire(body, attributes, size)


def decode(topic: str, received: MessageTypeDef) -> Received:
    """Return a received message as the port's. One without our attribute is of another client: its own are headers."""
    strings = {
        name: attribute.get("StringValue", "") for name, attribute in received.get("MessageAttributes", {}).items()
    }
    system = received.get("Attributes", {})
    body = received.get("Body", "")
    envelope = _read(body, strings.get(ATTRIBUTE, "")) or _foreign(body, strings)
    position = envelope.position or f"{system.get('SentTimestamp', '0')}:{received.get('MessageId', '')}"
    message = Message(topic, envelope.key, envelope.value, envelope.headers, position)
    attempt = envelope.attempts + max(1, int(system.get("ApproximateReceiveCount", "1")))
    return Received(received.get("ReceiptHandle", ""), replace(envelope, position=position), message, attempt)


def sent_at(position: str) -> float:
    """Return when the message of a position was published, in seconds since 1970; 0 where it does not say."""
    milliseconds = position.partition(":")[0]
    return int(milliseconds) / 1000 if milliseconds.isdecimal() else 0.0


def _as_text(value: bytes) -> str | None:
    """Return a value as a body, None if it is none: empty, not UTF-8, or with characters that SQS refuses."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return text if text and not _NOT_TEXT.search(text) else None


def _read(body: str, packed: str) -> Envelope | None:
    """Return the envelope of one of our messages, None if it is of another client."""
    try:
        facts: Any = json.loads(packed)
        value = base64.b64decode(body.removeprefix(_PADDING)) if facts.get("e") == _BASE64 else body.encode()
        return Envelope(
            str(facts.get("k", "")),
            value,
            {str(name): str(text) for name, text in facts.get("h", {}).items()},
            int(facts.get("n", 0)),
            str(facts.get("p", "")),
            float(facts.get("d", 0.0)),
        )
    except (ValueError, AttributeError, TypeError, binascii.Error):
        return None


def _foreign(body: str, strings: Mapping[str, str]) -> Envelope:
    headers = {name: text for name, text in strings.items() if name not in {ATTRIBUTE, REQUEST_ID} and text}
    if strings.get(REQUEST_ID):
        headers.setdefault(CORRELATION_ID, strings[REQUEST_ID])
    return Envelope("", body.encode(errors="replace"), headers)
