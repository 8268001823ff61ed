"""Dead letters, listed and replayed over a real broker."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import uuid
from collections.abc import Sequence

import pytest

from butakero import dlq
from common.broker import open_broker
from common.broker.base import Message
from tests.servers.emulators import Emulator
from tests.unit.butakero.conftest import CapturedShell

TOPIC = "bot.download.requests"
HEADERS = {"correlation_id": "c1", "schema_version": "1"}


async def _bury(captured: CapturedShell, bodies: Sequence[bytes], topic: str) -> None:
    async with open_broker(captured.shell.settings) as broker, broker.consume(topic, "workers") as deliveries:
        for body in bodies:
            await broker.publish(topic, "key", body, HEADERS)
            await (await anext(deliveries)).reject("invalid_message", "song: Field required")


def bury(captured: CapturedShell, *bodies: bytes, topic: str = TOPIC) -> None:
    asyncio.run(_bury(captured, bodies, topic))


async def _live(captured: CapturedShell, topic: str = TOPIC) -> list[Message]:
    async with open_broker(captured.shell.settings) as broker:
        return await broker.peek(topic)


def positions(captured: CapturedShell, topic: str = TOPIC) -> list[str]:
    before = len(captured.out())
    assert dlq.run_list(captured.shell, topic) == 0
    lines = captured.out()[before:].splitlines()[1:]
    return [line.split("\t")[0] for line in lines if "\t" in line]


def test_an_empty_topic_is_reported(captured: CapturedShell) -> None:
    assert dlq.run_list(captured.shell, TOPIC) == 0
    assert captured.out() == f"No dead letters in {TOPIC}.dlq.\n"


def test_a_list_acks_nothing(captured: CapturedShell) -> None:
    bury(captured, b"one", b"two")
    assert positions(captured) == ["0:0", "0:1"]
    assert positions(captured) == ["0:0", "0:1"]


def test_the_list_has_the_error_codes(captured: CapturedShell) -> None:
    bury(captured, b"one")
    dlq.run_list(captured.shell, TOPIC)
    assert "0:0\tinvalid_message\t1\tkey" in captured.out()


def test_one_letter_in_full(captured: CapturedShell) -> None:
    bury(captured, b'{"song": "x\\u001b"}', b"\xff not \x1b text")
    assert dlq.run_show(captured.shell, TOPIC, "0:0") == 0
    assert "invalid_message: song: Field required" in captured.out()
    assert "correlation_id=c1 schema_version=1" in captured.out()
    assert '"song": "x\\u001b"' in captured.out()
    assert dlq.run_show(captured.shell, TOPIC, "0:1") == 0
    assert "\\xff not \\u001b text" in captured.out()


def test_an_unknown_position_is_an_error(captured: CapturedShell) -> None:
    bury(captured, b"one")
    assert dlq.run_show(captured.shell, TOPIC, "0:7") == 1
    assert dlq.run_replay(captured.shell, TOPIC, "0:7", everything=False) == 1
    assert captured.err().count("no message left at position 0:7") == 2


def test_replaying_one_publishes_it_to_its_origin_and_acks_it(captured: CapturedShell) -> None:
    bury(captured, b"one", b"two")
    assert dlq.run_replay(captured.shell, TOPIC, "0:1", everything=False) == 0
    assert positions(captured) == ["0:0"]
    (message,) = asyncio.run(_live(captured))
    assert (message.topic, message.key, message.value) == (TOPIC, "key", b"two")
    assert set(message.headers) == set(HEADERS)


def test_a_replayed_request_has_a_new_id(captured: CapturedShell) -> None:
    bury(captured, b'{"request_id": "c1", "song": "x"}')
    dlq.run_replay(captured.shell, TOPIC, None, everything=True)
    (message,) = asyncio.run(_live(captured))
    body = json.loads(message.value)
    assert body["song"] == "x"
    assert body["request_id"] == message.headers["correlation_id"] != "c1"


def test_replaying_all_empties_the_list(captured: CapturedShell) -> None:
    bury(captured, b"one", b"two", b"three")
    assert dlq.run_replay(captured.shell, TOPIC, None, everything=True) == 0
    assert "Replayed: 3." in captured.out()
    assert positions(captured) == []
    assert [message.value for message in asyncio.run(_live(captured))] == [b"one", b"two", b"three"]


@pytest.mark.parametrize(("position", "everything"), [(None, False), ("0:0", True)])
def test_replay_needs_a_position_or_all(captured: CapturedShell, position: str | None, *, everything: bool) -> None:
    assert dlq.run_replay(captured.shell, TOPIC, position, everything=everything) == 2


def test_dead_letters_in_sqs_keep_their_positions(captured: CapturedShell, ministack: Emulator) -> None:
    topic = f"test.{uuid.uuid4().hex}"
    changes = {
        "messaging_backend": "sqs",
        "aws_endpoint_url": ministack.url,
        "sqs_wait_time_seconds": 1,
        "topic_download_requests": topic,
    }
    settings = captured.shell.settings.model_copy(update=changes)
    captured = dataclasses.replace(captured, shell=dataclasses.replace(captured.shell, settings=settings))
    bury(captured, b"one", b'{"request_id": "c1"}', topic=topic)
    first, second = positions(captured, topic)
    assert positions(captured, topic) == [first, second]
    assert dlq.run_show(captured.shell, topic, second) == 0
    assert '"request_id": "c1"' in captured.out()
    assert dlq.run_replay(captured.shell, topic, second, everything=False) == 0
    assert positions(captured, topic) == [first]
    (message,) = asyncio.run(_live(captured, topic))
    assert json.loads(message.value)["request_id"] == message.headers["correlation_id"] != "c1"
    assert dlq.run_replay(captured.shell, topic, None, everything=True) == 0
    assert positions(captured, topic) == []
