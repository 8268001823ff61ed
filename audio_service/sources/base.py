"""The source port, and what a query is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    # Child processes import this module, and pydantic would take 8 MB of each.
    from common.messages.downloads import PlatformMetadata


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query: words or a URL. Parsing needs no network.

    Attributes:
        text: the words, or the normalised URL.
        is_url: whether `text` is a URL.
        media_id: the id when the text carries it (YouTube URLs); else None.
        key: names the query in leases and in remembered resolutions; equal for equal queries. It is a valid media
            id, so a query that never resolved can have a record that says why.
    """

    text: str
    is_url: bool
    media_id: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """The media that a query names.

    Attributes:
        media_id: the record's id: YouTube's own id, else made from the platform's id or the final URL.
        metadata: title (one line), duration (0: unknown until decoded), page URL to fetch from, thumbnail, platform.
        info: the extractor's answer (JSON), which spares `fetch` a second extraction; None when there is none.
        held_by: the child process that holds the response which `fetch` begins with, None when none does.
        address: where to fetch from if not from the page: a signed URL, which neither records nor messages hold.
    """

    media_id: str
    metadata: PlatformMetadata
    info: bytes | None = None
    held_by: int | None = None
    address: str = field(default="", repr=False)


class MediaSource(Protocol):
    """Resolves a query to one piece of media. Adapters: yt-dlp; the YouTube Data API in front of it; a bucket.

    The contract is tests/contract/test_source.py.
    """

    async def resolve(self, query: Query) -> Resolved:
        """Find the media.

        Raises:
            SourceError: there is none, or the source failed; the subclass says which, and whether to retry.
            UrlNotAllowed: the URL, a redirect or the page leads to an address that the guard refuses.
            ProcessingError: the child process died, hung or exceeded a limit.
        """
        ...
