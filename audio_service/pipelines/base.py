"""What every pipeline shares: the job it works on, the outcome it hands back, and how it gives a delivery back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from audio_service.media.model import Media
from audio_service.media.repository.base import Waiter
from common.messages.downloads import DownloadRequest


@dataclass(slots=True)
class Job:
    """One attempt at one request. The pipeline notes here how far it came, so that the worker can keep the claim
    alive, and end it when the attempt fails.

    Attributes:
        request: what was asked.
        owner: names this attempt in leases; no two attempts share it.
        deadline_seconds: what is left of SERVICE_TIMEOUT.
        media_id: the record this request ends in, as far as it is known; "" before.
        fence: the fencing token while this attempt owns that record.
    """

    request: DownloadRequest
    owner: str
    deadline_seconds: float = 0.0
    media_id: str = ""
    fence: int | None = None

    @property
    def waiter(self) -> Waiter:
        """The request as it stands on a record's waiting list."""
        return Waiter(self.request.request_id, self.request.user_id)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A record with its end, and the requests that are to hear of it."""

    media: Media
    waiters: Sequence[Waiter]


class HandBack(Exception):
    """This delivery cannot be worked on now, through no fault of its own: deliver it again after `wait`."""

    def __init__(self, reason: str, wait: timedelta) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait
