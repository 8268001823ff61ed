"""The port of asset records. Every method is one atomic step, and raises DatabaseUnavailable.

Claims are as those of the library: a lease, and a fencing token that grows with every claim, so that a worker that was
overtaken writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from audio_service.assets.model import Asset, Made


@dataclass(frozen=True, slots=True)
class Quota:
    """What one owner may have: uploads that are not complete yet, and uploads of the last 24 hours."""

    open_uploads: int
    per_day: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """The claim succeeded: this attempt processes the file. `fence` goes into every later write."""

    fence: int
    asset: Asset


@dataclass(frozen=True, slots=True)
class Ended:
    """The asset is done or failed: only its status may be left to be published."""

    asset: Asset


@dataclass(frozen=True, slots=True)
class Held:
    """Another attempt has it: hand the delivery back, due again after `wait`."""

    wait: timedelta


Claim = Claimed | Ended | Held


@dataclass(frozen=True, slots=True)
class AssetPage:
    """Assets, newest first, and the cursor of the next page (None: this was the last)."""

    items: Sequence[Asset]
    cursor: str | None


class AssetRepository(Protocol):
    """All assets."""

    async def create(self, asset: Asset, quota: Quota) -> None:
        """Insert a queued asset.

        Raises:
            QuotaExceeded: its owner has as many as `quota` allows; counted and inserted in one step.
        """
        ...

    async def get(self, asset_id: str) -> Asset | None:
        """Return an asset."""
        ...

    async def complete(self, asset_id: str, etag: str) -> Asset:
        """Note that the file is there; the first call pins its etag, later ones are no-ops. Raises AssetNotFound."""
        ...

    async def claim(self, asset_id: str, lease: timedelta) -> Claim:
        """Decide whether this attempt processes the asset.

        - queued and complete, or processing without a running lease → Claimed: processing, fence + 1, attempts + 1
        - processing, lease running → Held
        - done, failed → Ended

        Raises:
            AssetNotFound: there is none, or it is not complete.
        """
        ...

    async def renew(self, asset_id: str, fence: int, lease: timedelta) -> None:
        """Extend a claim; no-op after it was yielded or ended. Raises LeaseLost when a newer fence exists."""
        ...

    async def yield_claim(self, asset_id: str, fence: int) -> None:
        """End the lease now; a stale fence is a no-op."""
        ...

    async def mark_done(self, asset_id: str, fence: int, made: Made, *, message: str) -> Asset:
        """Record the outcome; the lease ends. Raises LeaseLost: a newer fence exists, nothing was written."""
        ...

    async def mark_failed(self, asset_id: str, fence: int, *, error_code: str, message: str) -> Asset:
        """As mark_done, for a final failure."""
        ...

    async def by_chat(self, chat_id: str, *, limit: int = 50, cursor: str | None = None) -> AssetPage:
        """Return a chat's assets, newest first. Raises InvalidInput: the cursor is not one of ours."""
        ...

    async def by_owner(self, owner_id: str, *, limit: int = 50, cursor: str | None = None) -> AssetPage:
        """As by_chat, for an owner."""
        ...

    async def never_completed(self, older_than: timedelta, *, limit: int = 100) -> Sequence[Asset]:
        """Return assets that were prepared before that, may not be sent any more, and never completed, oldest first."""
        ...

    async def take_stalled(self, idle: timedelta) -> Asset | None:
        """Return a complete asset that has no end, and whose claim, if any, expired so long ago; None: there is none.

        Its time begins anew: of several callers one gets it.
        """
        ...

    async def remove(self, asset_id: str, *, unless_complete: bool = False) -> bool:
        """Remove a record, and remember that it was there: a worker that still has it writes nothing more.

        False: nothing was removed, since `unless_complete` and it is complete. No-op if there is none. Its files are
        the caller's to delete, after.
        """
        ...

    async def removed(self, older_than: timedelta, *, limit: int = 100) -> Sequence[str]:
        """Return ids of assets that were removed before that, and are remembered."""
        ...

    async def forget_removed(self, asset_id: str) -> None:
        """Remember an id no more; no-op if there is none."""
        ...
