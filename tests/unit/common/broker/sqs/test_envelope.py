"""Messages on SQS: what is written is read back, and messages of other clients are read too."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.broker.sqs.envelope import ATTRIBUTE, Envelope, decode, encode
from common.broker.sqs.names import dead_letter_queue_name, group_queue_name, queue_name_of, topic_name

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def received(body: str, attributes: dict[str, Any], count: int = 1) -> Any:  # noqa: ANN401 - as the SDK gives it
    system = {"SentTimestamp": "1700000000123", "ApproximateReceiveCount": str(count)}
    return {
        "Body": body,
        "MessageAttributes": attributes,
        "Attributes": system,
        "MessageId": "id",
        "ReceiptHandle": "receipt",
    }


@given(st.binary() | TEXT.map(str.encode), TEXT, st.dictionaries(TEXT, TEXT), st.integers(0, 9))
def test_what_is_encoded_is_decoded(value: bytes, key: str, headers: dict[str, str], attempts: int) -> None:
    wire = encode(Envelope(key, value, headers, attempts))
    assert wire.body, "SQS refuses an empty body"
    assert all(text in {"\t", "\n", "\r"} or text >= " " for text in wire.body)
    found = decode("topic", received(wire.body, dict(wire.attributes), count=2))
    assert (found.message.key, found.message.value, dict(found.message.headers)) == (key, value, headers)
    assert found.attempt == attempts + 2
    assert found.message.position == "1700000000123:id"


def test_a_copy_keeps_its_first_position() -> None:
    wire = encode(Envelope("k", b"v", position="1:first", due_at=1234.5678))
    found = decode("topic", received(wire.body, dict(wire.attributes)))
    assert (found.message.position, found.envelope.due_at) == ("1:first", 1234.568)


def test_the_size_counts_body_names_types_and_values() -> None:
    wire = encode(Envelope("k", "ñ".encode(), {"correlation_id": "c1"}))
    packed = '{"k":"k","h":{"correlation_id":"c1"}}'
    assert wire.attributes["RequestID"]["StringValue"] == "c1"
    assert wire.size == 2 + len("butakeroString" + packed) + len("RequestIDStringc1")


def test_a_message_of_an_existing_client_has_its_request_id() -> None:
    attributes = {"RequestID": {"DataType": "String", "StringValue": "r1"}, "source": {"StringValue": "go"}}
    found = decode("topic", received('{"song": "ñ"}', attributes))
    assert (found.message.key, found.message.value) == ("", '{"song": "ñ"}'.encode())
    assert dict(found.message.headers) == {"correlation_id": "r1", "source": "go"}
    assert found.attempt == 1


@pytest.mark.parametrize("packed", ["", "no JSON", "[]", "1", '{"h": []}', '{"n": "x"}', '{"h": {"a": null}, "n": {}}'])
def test_an_attribute_of_our_name_that_is_not_ours_is_not_believed(packed: str) -> None:
    found = decode("topic", received("body", {ATTRIBUTE: {"StringValue": packed}}))
    assert found.message.value == b"body"
    assert found.attempt == 1


def test_names_fit_sqs() -> None:
    assert topic_name("bot.download.requests") == "bot-download-requests"
    assert dead_letter_queue_name("bot-download-requests") == "bot-download-requests-dlq"
    assert queue_name_of("https://sqs.us-east-1.amazonaws.com/123456789012/requests/") == "requests"
    long = [
        topic_name("t" * 200),
        topic_name("t" * 199),
        group_queue_name("t" * 200, "g"),
        group_queue_name("a", "b.c"),
    ]
    assert all(0 < len(name) <= 80 for name in long)
    assert len({*long, group_queue_name("a", "b-c"), group_queue_name("a", "b c")}) == 6
