"""What a pipeline declares, and what it and the worker tell each other.

A pipeline is one kind of work: a topic, the model of its requests, a function that does the work, one that records a
final failure, and what is published at the end. The worker owns leases, heartbeats, retries, dead letters, deadlines,
progress and metrics; a pipeline sees none of them but through its `Job`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from audio_service.services import Services
from audio_service.settings import AudioSettings
from audio_service.worker.progress import ProgressFeed
from common.errors import AppError
from common.messages.base import JobRequest, Salvaged, WireModel

R = TypeVar("R", bound=JobRequest)
P = TypeVar("P", bound="ProgressFeed")


class HandBack(Exception):
    """The delivery cannot be worked on now, through no fault of its own: deliver it again after `wait`, uncounted."""

    def __init__(self, reason: str, wait: timedelta) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


class Withdrawn(Exception):
    """No one waits for the request any more: its attempt ends, without a status."""


class Interruption:
    """Lets another task end a running attempt."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._reason = ""

    def hand_back(self, reason: str) -> None:
        """End the attempt by handing its delivery back; no-op when it is over."""
        self._reason = reason
        self._asked.set()

    async def run(self) -> None:
        """Beside the attempt: raise HandBack once that is asked for."""
        await self._asked.wait()
        raise HandBack(self._reason, timedelta(0))


@dataclass(slots=True)
class Job(Generic[R]):
    """One attempt at one request. The pipeline notes here how far it came, so that the worker can keep the claim
    alive, and end it when the attempt fails.

    Attributes:
        request: the message.
        owner: names this attempt in leases; no two attempts share it.
        interruption: ends it from outside.
        deadline_seconds: what is left of SERVICE_TIMEOUT.
        record_id: the record this request ends in, as far as it is known; "" before.
        fence: the fencing token while this attempt owns that record.
    """

    request: R
    owner: str
    interruption: Interruption = field(default_factory=Interruption)
    deadline_seconds: float = 0.0
    record_id: str = ""
    fence: int | None = None


@dataclass(frozen=True, slots=True)
class TerminalStatus:
    """The terminal status of one request, ready to be published. `error_code` is "" for a success."""

    request_id: str
    key: str
    message: WireModel
    error_code: str = ""


Settle = Callable[[Sequence[str]], Awaitable[Sequence[TerminalStatus]]]
"""Remembers these request ids as answered, takes them off the record's waiting list in the same step, and returns the
statuses of the requests that joined since."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a job: the statuses to publish, then the step that settles them.

    `settle` None: the requests are on no waiting list, and the worker only remembers them as answered.
    """

    statuses: Sequence[TerminalStatus]
    settle: Settle | None = None


class ClaimedRecords(Protocol):
    """The part of a repository that keeps claims: all that the worker needs to know of a pipeline's records."""

    async def renew(self, record_id: str, fence: int, lease: timedelta, /) -> None:
        """Extend a claim. Raises LeaseLost when a newer fence exists."""
        ...

    async def yield_claim(self, record_id: str, fence: int, /) -> None:
        """End a claim's lease now; a stale fence is a no-op."""
        ...


@dataclass(frozen=True, slots=True)
class Pipeline(Generic[R, P]):
    """One kind of work. Adding one: a module in `pipelines/`, a message module, a line in the registry.

    Attributes:
        name: what PIPELINES and the metrics call it.
        group: the consumer group that shares its requests.
        request: the model of its requests.
        request_topic: where they come from.
        status_topic: where its terminal statuses go.
        answer_topics: all topics that it publishes to; they exist from the worker's start.
        records: the repository that holds its claims.
        progress: makes the feed that an attempt reports to.
        run: makes one attempt. Returns None when another job answers the request. Raises AppError (why the attempt
            failed), HandBack (it is another worker's turn) or LeaseLost.
        fail: records a final failure and returns the statuses; None when another job answers the request. Raises
            HandBack while the record is being settled.
        refusal: the status of a request that did not parse.
    """

    name: str
    group: str
    request: type[R]
    request_topic: Callable[[AudioSettings], str]
    status_topic: Callable[[AudioSettings], str]
    answer_topics: Callable[[AudioSettings], Sequence[str]]
    records: Callable[[Services], ClaimedRecords]
    progress: Callable[[Job[R], Services], P]
    run: Callable[[Job[R], Services, P], Awaitable[Outcome | None]]
    fail: Callable[[Job[R], Services, AppError], Awaitable[Outcome | None]]
    refusal: Callable[[Salvaged, Services, AppError], TerminalStatus]
