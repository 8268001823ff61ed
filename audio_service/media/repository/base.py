"""The repository port, composed of its concerns: records, leases, answered requests, claims, retention, resolutions.

How they keep "never lost, answered once":

- `acquire("request:<id>")` leases a request to one of its deliveries; copies are handed back.
- `claim` gives one worker a record and a fencing token that only grows. Every later write of that worker carries the
  token, so a worker that lost its lease cannot overwrite its successor's work.
- The claiming request and those that join while the work runs are the record's waiters. `settle` takes them off the
  list, after their statuses were published, in the same step that marks them as answered. A waiter's own delivery is
  acked at once: the owner's delivery, still unacked, stands for it.
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
    """What a record needs to become `success`. `message` is the sentence for people."""

    metadata: PlatformMetadata
    file: FileData
    size_bytes: int
    encoding: Encoding
    message: str


@dataclass(frozen=True, slots=True)
class Owned:
    """The claim succeeded: this worker makes the file. `fence` goes into every later write."""

    fence: int
    media: Media


@dataclass(frozen=True, slots=True)
class Joined:
    """Another worker answers this request, or it is answered already: ack the delivery."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The record is in `success` and this request is on no waiting list: answer it now."""

    media: Media


@dataclass(frozen=True, slots=True)
class Unannounced:
    """The record has its outcome, but its worker died before it published: publish to `waiters`, then settle. The
    claiming request is one of them.
    """

    fence: int
    media: Media
    waiters: Sequence[Waiter]


@dataclass(frozen=True, slots=True)
class LeaseHeld:
    """A lease runs that cannot be joined (a failure is being settled, a file evicted): hand the delivery back, due
    again after `wait`.
    """

    wait: timedelta


Claim = Owned | Joined | Finished | Unannounced | LeaseHeld

EVICTOR = "retention"
"""The lease holder of a record whose file is being evicted; not a request id, which are UUIDs."""


def withdrawal(request_id: str) -> str:
    """Return the name under which it is remembered, among the answered requests, that a waiting one was withdrawn."""
    return f"withdrawn:{request_id}"


TOUCH_EVERY = timedelta(minutes=1)
"""The time of last use is written at most this often."""


@dataclass(frozen=True, slots=True)
class Eviction:
    """A record whose file the holder of `fence` removes from the store."""

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

    async def insert(self, media: Media) -> bool:
        """Insert a `success` record whose file is stored, as it is, dates and play counts included.

        False: there is a record of this id, of whatever status, which stays as it is. A record of another program under
        this id counts as none.
        """
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
    """Named leases: one owner works on a name at a time. No lease may be longer than LEASE_SECONDS allows, 10 min."""

    async def acquire(self, name: str, owner: str, lease: timedelta) -> timedelta | None:
        """Take the named lease, or extend it when `owner` holds it. None: acquired; else how long it is still held."""
        ...

    async def surrender(self, name: str, owner: str) -> None:
        """Release a named lease; no-op unless `owner` holds it."""
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
    """Which worker makes a record's file, under which fencing token, and which requests wait for the outcome."""

    async def claim(self, media_id: str, waiter: Waiter, metadata: PlatformMetadata, lease: timedelta) -> Claim:
        """Decide, in one write, which worker makes this record.

        A lease excludes every request but its holder: the holder's redelivery means that its worker died.

        - this request is marked as answered → Joined, nothing is written
        - no record; `error` and settled; or `processing` with its lease run out, or held by this same request
          → Owned: `processing`, fence + 1, attempts + 1, waiter added, lease running
        - `processing`, held by another → Joined, waiter added (once per request id)
        - `success`, no lease running: waiters left → Unannounced (fence + 1, waiter added, lease running);
          none: Finished
        - `success`, lease running (its owner is settling): the request is among the waiters → Joined, else Finished
        - `error`, lease running → LeaseHeld; lease run out and waiters left → Owned, they stay and get the new outcome
        - the file is being removed (see `begin_eviction`), lease running → LeaseHeld

        `metadata` is recorded for a record that becomes `processing`. Finished counts as a use of the file.
        """
        ...

    async def waits_for(self, request_id: str) -> str | None:
        """Return the record on whose waiting list the request stands. A later attempt of the request must finish that
        record, or the requests that joined it would never be answered.
        """
        ...

    async def renew(self, media_id: str, fence: int, lease: timedelta) -> None:
        """Extend a claim; no-op after it was yielded or settled. Raises LeaseLost when a newer fence exists."""
        ...

    async def yield_claim(self, media_id: str, fence: int) -> None:
        """End the lease now and keep record and waiters, for a retry. A stale fence is a no-op."""
        ...

    async def mark_success(self, media_id: str, fence: int, made: StoredMedia) -> tuple[Media, Sequence[Waiter]]:
        """Record the outcome and return its waiters; the lease keeps running until `settle`.

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
        """Mark requests as answered (remembered for `keep`), take them off the waiting list, and return the waiters
        that are left. With none left the lease ends; otherwise the caller publishes to them and settles again.

        A stale fence marks the requests too, whose statuses were published, and returns none: the waiters that are
        left are its successor's.
        """
        ...

    async def withdraw(self, request_id: str, *, keep: timedelta) -> None:
        """Forget a request that no one waits for any more; it gets no status where that is still possible. Idempotent.

        - on no waiting list → marked as answered (remembered for `keep`): it is not begun, an attempt under way ends
        - waits for a `processing` record, and every other waiter was withdrawn too → all are marked as answered and
          taken off the list, the lease ends: the record is claimable
        - others wait with it → the work goes on for them. It is taken off the list and marked, unless it holds the
          claim: its delivery, still unacked, stands for theirs
        - the outcome is recorded → nothing, its status is on its way
        """
        ...

    async def reopen(self, media_id: str) -> None:
        """Turn a `success` record whose file is gone into a claimable `processing` one without a lease (fence + 1)."""
        ...


class Retention(Protocol):
    """Use of the files, and eviction of the least recently used."""

    async def count_play(self, media_id: str) -> None:
        """Count a play of a `success` record, now; no-op for any other record, or none."""
        ...

    async def stored_bytes(self) -> int:
        """Return the sum of the files' sizes in bytes."""
        ...

    async def begin_eviction(self, *, idle: timedelta, lease: timedelta) -> Eviction | None:
        """Take the least recently used file (made, answered from or played) out of the library, in one write.

        The record becomes `processing`: no look-up finds a success, and claims are LeaseHeld while the lease runs.
        Its `size_bytes` stay until `finish_eviction`, which the caller calls after it has removed the file; if the
        caller dies before, the lease expires, and the next call (or claim) takes the record over. Files used within
        `idle`, and records with a running lease or with waiters, are never evicted. None: no file may go.
        """
        ...

    async def finish_eviction(self, media_id: str, fence: int) -> None:
        """Record that the file is removed: no bytes, claimable. A stale fence is a no-op."""
        ...


class Resolutions(Protocol):
    """What queries resolved to, remembered for a while."""

    async def remember(self, query_key: str, media_id: str, metadata: PlatformMetadata, ttl: timedelta) -> None:
        """Remember what a query resolved to."""
        ...

    async def recall(self, query_key: str) -> tuple[str, PlatformMetadata] | None:
        """Return what the query resolved to; None once its time to live is over."""
        ...


class MediaRepository(Records, Leases, AnsweredRequests, Claims, Retention, Resolutions, Protocol):
    """The whole library, and its health.

    Every method of it is one atomic step, and raises DatabaseUnavailable when the database does not answer.
    """

    async def health(self) -> Health:
        """Ask the database how it is; never raises."""
        ...
