"""`butakero dlq`: lists, shows and replays dead letters.

All commands read the dead-letter topic in one consumer group. Deliveries that a command does not ack return to the
group when it leaves, so a list shows what was not replayed yet, also on brokers that retain consumed messages. A replay
publishes, then acks: a crash in between delivers the message twice, and consumers are idempotent.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

import orjson

from butakero.layout import print_facts, print_table
from butakero.screen import plain, safe_json, visible
from butakero.shell import Shell
from butakero.texts import (
    ATTEMPT,
    BODY,
    DLQ_EMPTY,
    DLQ_UNKNOWN,
    DLQ_WHICH,
    ERROR,
    HEADERS,
    KEY,
    NO_QUEUE,
    POSITION,
    REPLAYED,
    REPLAYED_COUNT,
)
from common.broker import open_broker
from common.broker.base import Broker, Delivery, Message, dead_letter_topic
from common.messages.base import CORRELATION_ID
from common.tasks import time_limit

GROUP = "butakero.dlq"
EXIT_ERROR = 1
EXIT_USAGE = 2
DEAD_LETTER_HEADERS = frozenset(
    {"error_code", "error_message", "origin_topic", "origin_partition", "origin_offset", "attempt"}
)
_FIRST_SECONDS = 15.0  # joining a group takes that long on some brokers
_NEXT_SECONDS = 2.0  # messages leased to another command are not delivered


def run_list(shell: Shell, topic: str) -> int:
    """Print the dead letters of `topic` that were not replayed."""
    messages = _read(shell, topic)
    if not messages:
        shell.out.print(shell.say(DLQ_EMPTY, topic=plain(dead_letter_topic(topic))))
        return 0
    headings = [shell.say(text) for text in (POSITION, ERROR, ATTEMPT, KEY)]
    print_table(shell.out, headings, [_row(message) for message in messages], flexible=3)
    return 0


def run_show(shell: Shell, topic: str, position: str) -> int:
    """Print one dead letter: why it is there, its headers and its body."""
    for message in _read(shell, topic):
        if message.position == position:
            _show(shell, message)
            return 0
    return _unknown(shell, topic, position)


def run_replay(shell: Shell, topic: str, position: str | None, *, everything: bool) -> int:
    """Publish dead letters to their origin topics, and ack them on the dead-letter topic."""
    if (position is None) != everything:
        shell.err.print(shell.say(DLQ_WHICH), style="red")
        return EXIT_USAGE
    count = asyncio.run(_replay(shell, topic, position)) if _exists(shell) else 0
    if position is not None and not count:
        return _unknown(shell, topic, position)
    shell.out.print(shell.say(REPLAYED_COUNT, count=count))
    return 0


def _read(shell: Shell, topic: str) -> Sequence[Message]:
    return asyncio.run(_peek(shell, topic)) if _exists(shell) else ()


def _exists(shell: Shell) -> bool:
    """Return whether there is a queue to read: opening the embedded broker's file makes one where there is none."""
    path = shell.settings.embedded_broker_path
    if shell.settings.messaging_backend != "embedded" or path.exists():
        return True
    shell.err.print(shell.say(NO_QUEUE, path=path), style="yellow")
    return False


async def _peek(shell: Shell, topic: str) -> Sequence[Message]:
    async with open_broker(shell.settings) as broker, _dead_letters(broker, topic) as letters:
        return [letter.message for letter in letters]


async def _replay(shell: Shell, topic: str, position: str | None) -> int:
    count = 0
    async with open_broker(shell.settings) as broker, _dead_letters(broker, topic) as letters:
        for letter in letters:
            message = letter.message
            if position in {None, message.position}:
                target = message.headers.get("origin_topic") or topic
                value, headers = as_new_request(message)
                await broker.publish(target, message.key, value, headers)
                await letter.ack()
                count += 1
                shell.out.print(shell.say(REPLAYED, position=message.position, topic=plain(target)))
    return count


@asynccontextmanager
async def _dead_letters(broker: Broker, topic: str) -> AsyncGenerator[Sequence[Delivery]]:
    """Lease every dead letter of `topic` that was not replayed, oldest first; those not acked return to the group."""
    dead = dead_letter_topic(topic)
    expected = await broker.lag(dead, GROUP)
    if not expected:
        yield []
        return
    async with broker.consume(dead, GROUP, prefetch=expected, start="earliest") as deliveries:
        letters: list[Delivery] = []
        with contextlib.suppress(TimeoutError):
            while len(letters) < expected:
                async with time_limit(_NEXT_SECONDS if letters else _FIRST_SECONDS):
                    letters.append(await anext(deliveries))
        yield sorted(letters, key=lambda letter: _order(letter.message.position))


def as_new_request(message: Message) -> tuple[bytes, dict[str, str]]:
    """Return body and headers under a new request id.

    The old id was answered with an error status when the message was dead-lettered, and answered requests are skipped.
    """
    request_id = str(uuid.uuid4())
    headers = {**original_headers(message.headers), CORRELATION_ID: request_id}
    try:
        body = orjson.loads(message.value)
    except orjson.JSONDecodeError:
        return message.value, headers
    if not isinstance(body, dict) or "request_id" not in body:
        return message.value, headers
    return orjson.dumps({**body, "request_id": request_id}), headers


def original_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers without those that dead-lettering added."""
    return {name: value for name, value in headers.items() if name not in DEAD_LETTER_HEADERS}


def _order(position: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in position.split(":"))


def _row(message: Message) -> list[str]:
    headers = message.headers
    return [
        message.position,
        plain(headers.get("error_code", "")),
        plain(headers.get("attempt", "")),
        plain(message.key),
    ]


def _show(shell: Shell, message: Message) -> None:
    headers = message.headers
    origin = ":".join(headers.get(name, "") for name in ("origin_topic", "origin_partition", "origin_offset"))
    facts = [
        (shell.say(POSITION), f"{plain(message.topic)} {message.position} ← {plain(origin)}"),
        (shell.say(ERROR), plain(f"{headers.get('error_code', '')}: {headers.get('error_message', '')}")),
        (shell.say(ATTEMPT), plain(headers.get("attempt", ""))),
        (shell.say(KEY), plain(message.key)),
        (shell.say(HEADERS), " ".join(plain(f"{k}={v}") for k, v in sorted(original_headers(headers).items()))),
    ]
    print_facts(shell.out, facts)
    shell.out.print(f"  {shell.say(BODY)} ({len(message.value)} B):")
    shell.out.print(_readable_body(message.value), soft_wrap=True)


def _readable_body(body: bytes) -> str:
    """Format JSON as JSON and anything else as text, with undecodable bytes escaped."""
    try:
        return safe_json(orjson.loads(body))
    except orjson.JSONDecodeError:
        return "\n".join(visible(line) for line in body.decode(errors="backslashreplace").splitlines())


def _unknown(shell: Shell, topic: str, position: str) -> int:
    line = shell.say(DLQ_UNKNOWN, topic=plain(dead_letter_topic(topic)), position=plain(position))
    shell.err.print(line, style="red")
    return EXIT_ERROR
