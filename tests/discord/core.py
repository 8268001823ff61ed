"""What every part of the fake Discord shares: ids, the bot's account, the way to the gateway, and what went wrong."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.discord.bell import Bell

Json: TypeAlias = dict[str, Any]

# Milliseconds between 1970 and Discord's own epoch, the first second of 2015.
_DISCORD_EPOCH_MS = 1_420_070_400_000
_SERIAL_BITS = 22


class RestError(Exception):
    """An error as the REST side answers it. `code` is Discord's own number (its page "Opcodes and Status Codes")."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def _nobody_listens(event: str, data: Json) -> None:
    """Drop an event: no gateway stands yet."""


@dataclass(slots=True)
class Core:
    """The shared part.

    Attributes:
        token: what the bot must log in with.
        dispatch: sends an event to every session of the bot; the gateway puts itself here.
        problems: what a bot did that Discord refuses or that the fake does not know. Empty after a good run.
    """

    token: str
    bell: Bell
    problems: list[str] = field(default_factory=list[str])
    dispatch: Callable[[str, Json], None] = _nobody_listens
    _serial: itertools.count[int] = field(default_factory=itertools.count)
    application_id: str = ""
    bot: Json = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self.application_id = self.snowflake()
        self.bot = {
            "id": self.application_id,
            "username": "butakero",
            "discriminator": "0",
            "global_name": "Butakero",
            "avatar": None,
            "bot": True,
            "flags": 0,
        }

    def snowflake(self) -> str:
        """Return an id that was never used: the time of its making stands in its upper bits, as in Discord's."""
        made = time.time_ns() // 1_000_000 - _DISCORD_EPOCH_MS
        return str(made << _SERIAL_BITS | next(self._serial))

    def problem(self, text: str) -> None:
        """Remember what a bot should not have done."""
        self.problems.append(text)
        self.bell.ring()


def listed(body: Json, key: str) -> list[Any]:
    """Return the list under a key; what is missing or null is empty."""
    return body.get(key) or []


def object_of(body: Json, key: str) -> Json:
    """Return the object under a key; what is missing or null is empty."""
    return body.get(key) or {}
