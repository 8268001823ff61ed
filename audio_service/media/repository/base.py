"""The repository port: media records with leases, the waiters of each, remembered resolutions, answered requests.

How the pieces keep "never lost, answered once":

- `acquire("request:<id>")` makes one delivery of a request the one that works on it; copies are handed back.
- `claim` gives one worker a record and a fencing token that only grows. Whatever that worker records later
  carries the token, so a worker that lost its lease cannot overwrite its successor's work.
- The claiming request and all that join while the work goes on are the record's waiters. They leave the list
  in `settle`, after their statuses were published, in the same step in which they are marked as answered. A waiter's
  own delivery is acked at once: the owner's delivery, which is not, guards it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from audio_service.media.model import Encoding, Media
from common.health import Health
from common.messages.downloads import FileData, PlatformMetadata


@dataclass(frozen=True, slots=True)
class Waiter:
    """A request that waits for a record's outcome."""

    request_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class StoredMedia:
    """What a worker made: everything a record needs to become `success`. `message` is the sentence for people."""

    metadata: PlatformMetadata
    file: FileData
    size_bytes: int
    encoding: Encoding
    message: str


@dataclass(frozen=True, slots=True)
class Owned:
    """This request's worker has the record and makes the file. `fence` goes into every later write."""

    fence: int
    media: Media


@dataclass(frozen=True, slots=True)
class Joined:
    """Somebody else answers this request, or has answered it since the caller looked: ack the delivery."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The record is in `success`, and nobody else is going to answer this request: answer it now."""

    media: Media


@dataclass(frozen=True, slots=True)
class Unannounced:
    """The record has its outcome, but whoever made it died before answering: publish to `waiters`, then settle. The
    claiming request is one of them.
    """

    fence: int
    media: Media
    waiters: Sequence[Waiter]


@dataclass(frozen=True, slots=True)
class LeaseHeld:
    """A failed record is being settled by its owner, or a file removed, right now: hand the delivery back for this
    long.
    """

    wait: timedelta


Claim = Owned | Joined | Finished | Unannounced | LeaseHeld

EVICTOR = "retention"
"""The holder of a record whose file is being removed; no request has this id, theirs are UUIDs."""

TOUCH_EVERY = timedelta(minutes=1)
"""A record that is answered from again and again is noted as used this often, and not each time."""


@dataclass(frozen=True, slots=True)
class Eviction:
    """A record whose file is to be removed from the store, by whoever holds `fence`."""

    media_id: str
    fence: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Page:
    """Records, and the cursor of the next page (None: this was the last)."""

    items: Sequence[Media]
    cursor: str | None


class Records(Protocol):
    """Media records, one at a time and by pages."""

    async def get(self, media_id: str) -> Media | None:
        """Return a record."""
        ...

    async def search(self, text: str, *, limit: int = 10, cursor: str | None = None) -> Page:
        """Return `success` records whose normalised title contains the normalised `text`, best known order:
        exact title first, then newest. `text` is never a pattern. An empty normalised text finds nothing.

        Raises:
            InvalidInput: the cursor is not one of ours.
        """
        ...

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Return records of any status, last updated first. Raises InvalidInput for a bad cursor."""
        ...


class Leases(Protocol):
    """Named leases: one owner works on a name at a time."""

    async def acquire(self, name: str, owner: str, lease: timedelta) -> timedelta | None:
        """Take the named lease, or extend it when `owner` has it. None: taken; else how long it is still held."""
        ...

    async def surrender(self, name: str, owner: str) -> None:
        """Give a named lease back, if `owner` still has it."""
        ...


class AnsweredRequests(Protocol):
    """Requests whose terminal status was published, remembered for a while."""

    async def mark_answered(self, request_id: str, *, keep: timedelta) -> None:
        """Mark a request that is on no waiting list as answered, remembered for `keep`. Idempotent: the longer `keep`
        counts.
        """
        ...

    async def is_answered(self, request_id: str) -> bool:
        """Whether the request's terminal status was published."""
        ...


class Claims(Protocol):
    """Who makes a record's file, under which fencing token, and which requests wait for the outcome."""

    async def claim(self, media_id: str, waiter: Waiter, metadata: PlatformMetadata, lease: timedelta) -> Claim:
        """Decide, in one write, who makes this record.

        A lease runs against everybody but the request that it was given to: when that one comes back, its worker died.

        - this request is marked as answered → Joined, nothing is written
        - no record; `error` and settled; or `processing` with its lease run out, or held by this same request
          → Owned: `processing`, fence + 1, attempts + 1, waiter added, lease running
        - `processing`, held by another → Joined, waiter added (once per request id)
        - `success`, no lease running: waiters left → Unannounced (fence + 1, waiter added, lease running);
          none: Finished
        - `success`, lease running (its owner is settling): the request is among the waiters → Joined, else Finished
        - `error`, lease running → LeaseHeld; lease run out and waiters left → Owned, they stay and get the new outcome
        - the file is being removed (see `begin_eviction`), lease running → LeaseHeld

        `metadata` is recorded for a record that becomes `processing`. Finished counts as a use of the file: who is
        told of it comes for it next.
        """
        ...

    async def waits_for(self, request_id: str) -> str | None:
        """Return the record on whose waiting list the request stands: an attempt that follows one that claimed it
        must end there, or those who joined since would never hear.
        """
        ...

    async def renew(self, media_id: str, fence: int, lease: timedelta) -> None:
        """Extend a claim; one that was yielded or settled stays ended. Raises LeaseLost when a newer fence exists."""
        ...

    async def yield_claim(self, media_id: str, fence: int) -> None:
        """End the lease now and keep record and waiters: the work will be retried. Too late is fine."""
        ...

    async def mark_success(self, media_id: str, fence: int, made: StoredMedia) -> tuple[Media, Sequence[Waiter]]:
        """Record the outcome and return who waits for it; the lease keeps running until `settle`.

        Raises:
            LeaseLost: a newer fence exists; nothing was written.
        """
        ...

    async def mark_error(
        self, media_id: str, fence: int, *, error_code: str, message: str
    ) -> tuple[Media, Sequence[Waiter]]:
        """As mark_success, for a final failure; failures + 1."""
        ...

    async def settle(
        self, media_id: str, fence: int, request_ids: Sequence[str], *, keep: timedelta
    ) -> Sequence[Waiter]:
        """Mark requests as answered (remembered for `keep`), take them off the waiting list, and return who is
        still on it. With nobody left the lease ends; otherwise the caller publishes to the rest and settles again.

        A stale fence records the answers too (they were given) and returns nobody: the rest is its successor's.
        """
        ...

    async def reopen(self, media_id: str) -> None:
        """Turn a `success` record whose file is gone into a claimable `processing` one without a lease (fence + 1)."""
        ...


class Retention(Protocol):
    """Use of the files, and eviction of the least recently used."""

    async def count_play(self, media_id: str) -> None:
        """Count a play of a `success` record, now. Any other record, or none: nothing is counted."""
        ...

    async def stored_bytes(self) -> int:
        """Return how many bytes the records' files have in all."""
        ...

    async def begin_eviction(self, *, idle: timedelta, lease: timedelta) -> Eviction | None:
        """Take the file that was used the longest ago (made, answered from or played) out of the library, in one write.

        The record becomes `processing`: nobody finds it as a success, and claims are LeaseHeld while the lease runs.
        Its `size_bytes` stay until `finish_eviction`, which the caller calls when it has removed the file; should it
        die before, the lease runs out, and the next call (or claim) takes the record over. Files used within `idle`,
        and records with a running lease or with waiters, are left alone. None: there is no other.
        """
        ...

    async def finish_eviction(self, media_id: str, fence: int) -> None:
        """Record that the file is gone: the record has no bytes and can be claimed. A stale fence changes nothing."""
        ...


class Resolutions(Protocol):
    """What queries resolved to, remembered for a while."""

    async def remember(self, query_key: str, media_id: str, metadata: PlatformMetadata, ttl: timedelta) -> None:
        """Remember what a query resolved to."""
        ...

    async def recall(self, query_key: str) -> tuple[str, PlatformMetadata] | None:
        """Return what `remember` was told, within its time to live."""
        ...


class MediaRepository(Records, Leases, AnsweredRequests, Claims, Retention, Resolutions, Protocol):
    """The whole library, and its health.

    Every method of it is one atomic step, and raises DatabaseUnavailable when the database does not answer.
    """

    async def health(self) -> Health:
        """Ask the database how it is; never raises."""
        ...
