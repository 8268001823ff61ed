"""Faults of the REST side, and the record of its calls. A fault names calls by method and a pattern of the path."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

from tests.discord.bell import Bell
from tests.discord.core import Json


@dataclass(frozen=True, slots=True)
class Call:
    """A call the bot made: `path` begins behind /api/v10."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    at: float


@dataclass(slots=True)
class Hang:
    """A place where calls wait: `reached` counts them, `release` lets them and all later ones pass."""

    bell: Bell
    reached: int = 0
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    async def arrived(self, count: int = 1) -> None:
        """Wait until so many calls hang."""
        await self.bell.until(lambda: self.reached >= count, lambda: f"{count} hanging calls, {self.reached} came")

    def release(self) -> None:
        """Let them go on."""
        self._released.set()

    async def wait(self) -> None:
        """Be a call."""
        self.reached += 1
        self.bell.ring()
        await self._released.wait()


@dataclass(slots=True)
class Fault:
    """What happens to the next `times` calls that match (None: to all)."""

    method: str
    pattern: re.Pattern[str]
    times: int | None
    status: int = 0
    body: Json = field(default_factory=dict[str, Any])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    hang: Hang | None = None
    hits: int = 0

    def takes(self, method: str, path: str) -> bool:
        """Whether this call is one of them; counts it then."""
        if (self.times is not None and self.hits >= self.times) or self.method not in {"*", method}:
            return False
        if not self.pattern.search(path):
            return False
        self.hits += 1
        return True


class RestFaults:
    """Faults to come. `pattern` is a regular expression searched in the path, e.g. "/callback$" or "^/channels/"."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._faults: list[Fault] = []

    def fail(
        self, pattern: str, *, status: int = 500, code: int = 0, times: int | None = 1, method: str = "*"
    ) -> Fault:
        """Answer an error (500 and 502 are tried again by the bot's library, 503, 403 and 404 are not)."""
        body = {"code": code, "message": f"made to fail with {status}"}
        return self._add(Fault(method, re.compile(pattern), times, status, body))

    def limit(
        self,
        pattern: str,
        *,
        retry_after: float = 0.1,
        everywhere: bool = False,
        times: int | None = 1,
        method: str = "*",
    ) -> Fault:
        """Answer 429: the bot has to wait `retry_after` seconds; `everywhere` makes it the global limit."""
        body = {"message": "You are being rate limited.", "retry_after": retry_after, "global": everywhere}
        headers = {"Via": "1.1 google", "Retry-After": str(max(1, round(retry_after)))}
        return self._add(Fault(method, re.compile(pattern), times, 429, body, headers))

    def hang(self, pattern: str, *, times: int | None = 1, method: str = "*") -> Hang:
        """Let calls wait until they are released; then they are answered."""
        hang = Hang(self._bell)
        self._add(Fault(method, re.compile(pattern), times, hang=hang))
        return hang

    def heal(self) -> None:
        """End all faults. Hanging calls go on."""
        for fault in self._faults:
            if fault.hang is not None:
                fault.hang.release()
        self._faults.clear()

    def of(self, method: str, path: str) -> Fault | None:
        """Return the fault that this call meets."""
        return next((fault for fault in self._faults if fault.takes(method, path)), None)

    def _add(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault
