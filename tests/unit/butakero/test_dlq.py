"""Dead letters, looked at and sent round again over a real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from butakero import dlq
from common.broker import open_broker
from common.broker.base import Message
from tests.unit.butakero.conftest import Heard

TOPIC = "bot.download.requests"
HEADERS = {"correlation_id": "c1", "schema_version": "1"}


async def _bury(heard: Heard, bodies: Sequence[bytes]) -> None:
    async with open_broker(heard.shell.settings) as broker, broker.consume(TOPIC, "workers") as deliveries:
        for body in bodies:
            await broker.publish(TOPIC, "key", body, HEADERS)
            await (await anext(deliveries)).reject("invalid_message", "song: Field required")


def bury(heard: Heard, *bodies: bytes) -> None:
    asyncio.run(_bury(heard, bodies))


async def _live(heard: Heard) -> list[Message]:
    async with open_broker(heard.shell.settings) as broker:
        return await broker.peek(TOPIC)


def positions(heard: Heard) -> list[str]:
    before = len(heard.out())
    assert dlq.run_list(heard.shell, TOPIC) == 0
    lines = heard.out()[before:].splitlines()[1:]
    return [line.split("\t")[0] for line in lines if "\t" in line]


def test_nothing_dead_is_said(heard: Heard) -> None:
    assert dlq.run_list(heard.shell, TOPIC) == 0
    assert heard.out() == f"No dead letters in {TOPIC}.dlq.\n"


def test_a_list_takes_nothing_away(heard: Heard) -> None:
    bury(heard, b"one", b"two")
    assert positions(heard) == ["0:0", "0:1"]
    assert positions(heard) == ["0:0", "0:1"]


def test_the_list_says_why(heard: Heard) -> None:
    bury(heard, b"one")
    dlq.run_list(heard.shell, TOPIC)
    assert "0:0\tinvalid_message\t1\tkey" in heard.out()


def test_one_letter_in_full(heard: Heard) -> None:
    bury(heard, b'{"song": "x\\u001b"}', b"\xff not \x1b text")
    assert dlq.run_show(heard.shell, TOPIC, "0:0") == 0
    assert "invalid_message: song: Field required" in heard.out()
    assert "correlation_id=c1 schema_version=1" in heard.out()
    assert '"song": "x\\u001b"' in heard.out()
    assert dlq.run_show(heard.shell, TOPIC, "0:1") == 0
    assert "\\xff not \\u001b text" in heard.out()


def test_an_unknown_position_is_said(heard: Heard) -> None:
    bury(heard, b"one")
    assert dlq.run_show(heard.shell, TOPIC, "0:7") == 1
    assert dlq.run_replay(heard.shell, TOPIC, "0:7", everything=False) == 1
    assert heard.err().count("no message left at position 0:7") == 2


def test_replaying_one_sends_it_home_and_takes_it_off(heard: Heard) -> None:
    bury(heard, b"one", b"two")
    assert dlq.run_replay(heard.shell, TOPIC, "0:1", everything=False) == 0
    assert positions(heard) == ["0:0"]
    (message,) = asyncio.run(_live(heard))
    assert (message.topic, message.key, message.value) == (TOPIC, "key", b"two")
    assert set(message.headers) == set(HEADERS)


def test_a_replayed_request_is_a_new_one_since_the_old_one_was_answered(heard: Heard) -> None:
    bury(heard, b'{"request_id": "c1", "song": "x"}')
    dlq.run_replay(heard.shell, TOPIC, None, everything=True)
    (message,) = asyncio.run(_live(heard))
    body = json.loads(message.value)
    assert body["song"] == "x"
    assert body["request_id"] == message.headers["correlation_id"] != "c1"


def test_replaying_all_empties_the_list(heard: Heard) -> None:
    bury(heard, b"one", b"two", b"three")
    assert dlq.run_replay(heard.shell, TOPIC, None, everything=True) == 0
    assert "Replayed: 3." in heard.out()
    assert positions(heard) == []
    assert [message.value for message in asyncio.run(_live(heard))] == [b"one", b"two", b"three"]


@pytest.mark.parametrize(("position", "everything"), [(None, False), ("0:0", True)])
def test_replay_wants_one_or_all(heard: Heard, position: str | None, *, everything: bool) -> None:
    assert dlq.run_replay(heard.shell, TOPIC, position, everything=everything) == 2
