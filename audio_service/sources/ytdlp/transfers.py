"""yt-dlp's HTTP, bounded: every request passes `GuardedYoutubeDL.urlopen`, every body is counted while it is read.

Only yt-dlp's `requests` handler is used: it knows http and https and nothing else, and opens its sockets in Python,
where the guard sees them. The classes of yt-dlp are untyped; that stays in this module and in `extractor`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from email.message import Message
from importlib import import_module
from typing import Any
from urllib.parse import urljoin

import requests
from yt_dlp import YoutubeDL
from yt_dlp.networking import Request, Response
from yt_dlp.networking.exceptions import HTTPError, NoSupportingHandlers, TransportError

from audio_service.sources.guard import Guard
from common.errors import (
    AppError,
    MediaEncrypted,
    MediaLive,
    MediaTooLarge,
    MediaTruncated,
    MediaUnsupported,
    SourceTruncated,
)

Untyped = Any
"""An object of yt-dlp, whose annotations are partial."""

_CHUNK_BYTES = 64 * 1024
# Bytes per read: many from a fast source, few from a slow one, so that the encoder gets them early.
_LEAST_BYTES = 16 * 1024
_SLOW_SECONDS = 0.1
_FAST_SECONDS = 0.02
_MAX_REQUESTS = 300
_RANGE = re.compile(r"bytes=(\d+)-")
# A key that encrypts samples and not whole segments (RFC 8216 §4.3.2.4), as protected streams have.
_SAMPLE_KEY = re.compile(rb"#EXT-X-(?:SESSION-)?KEY:METHOD=(?!NONE|AES-128)")
# A media playlist (RFC 8216 §4.3.3), to which segments are added for as long as it has no end tag.
_MEDIA_PLAYLIST = re.compile(rb"#EXT-X-TARGETDURATION:")
_FINISHED_PLAYLIST = re.compile(rb"#EXT-X-(?:ENDLIST|PLAYLIST-TYPE:VOD)")
_SEGMENT = re.compile(rb"#EXTINF:(\d{1,6}(?:\.\d{1,9})?)")
_MAX_DISPOSITION = 1000
_KEPT_BYTES = 4096
"""Of a response's beginning: what is read of a file to see that it is one."""
_PLAYLIST_HEAD_BYTES = 64
_BLANKS = b"\xef\xbb\xbf \t\r\n"
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d*/(\d+|\*)")


class Transfer:
    """The byte and request budget of one job, and its last network failure. Bytes are counted after decompression.

    Attributes:
        received: bytes so far.
        failure: the last exception of a request or of a body.
        broken_body: whether that was while a body was read.
        stated_ms: the length of the media by its playlist, None without one.
        whole: whether all was received that the server has, by its own word.
    """

    def __init__(self, limit: int, *, requests_limit: int = _MAX_REQUESTS) -> None:
        self.limit = limit
        self.received = 0
        self.failure: BaseException | None = None
        self.broken_body = False
        self.stated_ms: int | None = None
        self.whole = False
        self._requests_left = requests_limit

    def request(self) -> None:
        """Count a request. Raises MediaUnsupported when there are too many."""
        self._requests_left -= 1
        if self._requests_left < 0:
            raise MediaUnsupported("the source leads from one request to the next without end")

    def opened(self, request: Untyped, response: Untyped) -> None:
        """Look at a response before its body is read. Raises MediaLive for an endless stream."""
        del request
        if _is_radio(response):
            raise MediaLive("a radio stream, which has no end")

    def read_whole(self, body: bytes) -> None:
        """Look at a body that was read at once. Raises MediaEncrypted for a playlist of encrypted samples."""
        if not body[:_PLAYLIST_HEAD_BYTES].lstrip(_BLANKS).startswith(b"#EXTM3U"):
            return
        if _SAMPLE_KEY.search(body):
            raise MediaEncrypted("HLS with encrypted samples")
        if b"#EXT-X-ENDLIST" in body:
            self.stated_ms = _playlist_ms(body)

    def expect(self, length: int) -> None:
        """Raise MediaTooLarge when `length` more bytes would exceed the limit."""
        if self.received + length > self.limit:
            raise MediaTooLarge(f"{self.received + length} bytes, at most {self.limit} are taken")

    def receive(self, length: int) -> None:
        """Count bytes. Raises MediaTooLarge."""
        self.expect(length)
        self.received += length


class FileTransfer(Transfer):
    """The transfer of one media file.

    The file is read while it is written, so its bytes must never change: a broken download may be resumed at its end
    only. When the server starts from the first byte again, or serves another file by now, it fails with
    SourceTruncated.
    """

    def __init__(self, limit: int, *, sequential: bool, requests_limit: int) -> None:
        super().__init__(limit, requests_limit=requests_limit)
        self._sequential = sequential
        self._first: Untyped = None  # the response that is being read
        self._stated_bytes = 0
        self._states_length = True
        self._says_its_end = False
        self.file_name = ""

    def opened(self, request: Untyped, response: Untyped) -> None:
        """Look at a response before its body is written."""
        super().opened(request, response)
        length = str(response.get_header("Content-Length") or "")
        self._states_length = length.isdigit()
        if self._states_length:
            self.expect(int(length))
        if not self._sequential:
            return
        # A body without a length, which is not sent in chunks either, ends like one that was cut off.
        chunked = "chunked" in str(response.get_header("Transfer-Encoding") or "").lower()
        self._says_its_end = self._states_length or chunked
        if not self.received:
            self._first = response
            self._stated_bytes = _unasked_part(request, response)
            self.file_name = file_name(str(response.get_header("Content-Disposition") or ""))
        elif not _resumes(request, response) or _identity(response) != _identity(self._first):
            raise SourceTruncated("the body broke off and the source does not resume where it ended")

    def read_whole(self, body: bytes) -> None:
        """Look at a body that was read at once. Raises MediaLive for a media playlist that still grows."""
        super().read_whole(body)
        if _MEDIA_PLAYLIST.search(body) and self.stated_ms is None and not _FINISHED_PLAYLIST.search(body):
            raise MediaLive("an HLS playlist without an end")

    @property
    def open_ended(self) -> bool:
        """Whether neither the body that is being read nor a playlist states a length."""
        return not self._states_length and self.stated_ms is None

    def check_complete(self) -> None:
        """Note that the last body ended. Raises MediaTruncated when a part of the file was sent for the whole."""
        self.whole = self._says_its_end
        if self.received < self._stated_bytes:
            raise MediaTruncated(f"{self.received} bytes of {self._stated_bytes} were sent")


def file_name(disposition: str) -> str:
    """Return the name that a Content-Disposition header gives to the file (RFC 6266), without folders and suffix."""
    message = Message()
    message["Content-Disposition"] = disposition[:_MAX_DISPOSITION]
    name = (message.get_filename() or "").replace("\\", "/").rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _is_radio(response: Untyped) -> bool:
    """Whether a stream of Icecast or SHOUTcast begins: they name it, and do not say how long it is."""
    names = {str(name).lower() for name in response.headers}
    return "content-length" not in names and any(name.startswith(("icy-", "ice-")) for name in names)


def _playlist_ms(body: bytes) -> int | None:
    """Return the sum of the segments' lengths (RFC 8216 §4.3.2.1), as little as it may mean when they are rounded."""
    lengths = [float(text) for text in _SEGMENT.findall(body)]
    whole = all(length.is_integer() for length in lengths)
    seconds = sum(max(0.0, length - 0.5) if whole else length for length in lengths)
    return round(seconds * 1000) or None


def _unasked_part(request: Untyped, response: Untyped) -> int:
    """Return the size of the file when the answer is a part of it that was not asked for, else 0."""
    if response.status != 206 or "Range" in request.headers:  # noqa: PLR2004 - Partial Content
        return 0
    served = _CONTENT_RANGE.match(response.get_header("Content-Range") or "")
    if served is None or served[1] != "0":
        raise SourceTruncated("a part of the file was sent, and not its beginning")
    return int(served[2]) if served[2].isdigit() else 0


def _wants_plain_file(request: Untyped) -> bool:
    """Whether a request is for all bytes of a file as they are, as the generic extractor and the downloader ask."""
    plain = request.headers.get("Accept-Encoding") == "identity" and "Range" not in request.headers
    return plain and request.method == "GET"


def _resumes(request: Untyped, response: Untyped) -> bool:
    served = _CONTENT_RANGE.match(response.get_header("Content-Range") or "")
    wanted = _RANGE.match(request.headers.get("Range") or "")
    return response.status == 206 and bool(served and wanted and served[1] == wanted[1])  # noqa: PLR2004 - Partial Content


def _identity(response: Untyped) -> tuple[str | None, str | None]:
    return response.get_header("ETag"), response.get_header("Last-Modified")


class CountedResponse(Response):
    """A response whose body counts against a transfer. From a slow source `read` returns less than it is asked for."""

    def __init__(self, inner: Untyped, transfer: Transfer) -> None:
        super().__init__(
            fp=inner,
            url=inner.url,
            headers=inner.headers,
            status=inner.status,
            reason=inner.reason,
            extensions=inner.extensions,
        )
        self._transfer = transfer
        self._at_once = _LEAST_BYTES
        self._ahead = b""
        self._start: bytes | None = b""  # what was read so far, None when that is too much to keep

    def start_again(self) -> bool:
        """Make the next `read` begin with the first byte; False when the beginning is no longer kept."""
        if self._start is None:
            return False
        self._ahead, self._start = self._start + self._ahead, b""
        return True

    def hand_over(self, transfer: Transfer) -> None:
        """Count the body against another transfer from now on, with what was read ahead. Raises MediaTooLarge."""
        self._transfer = transfer
        transfer.receive(len(self._ahead))

    def peek(self, amount: int) -> bytes:
        """Return up to `amount` of the bytes that `read` will return, fewer at the end only."""
        parts, missing = [self._ahead], amount - len(self._ahead)
        self._ahead = b""
        while missing > 0 and (data := self._read(missing)):
            parts.append(data)
            missing -= len(data)
        self._ahead = b"".join(parts)
        return self._ahead[:amount]

    def read(self, amt: int | None = None) -> bytes:
        """Read up to `amt` bytes, or all. Raises MediaTooLarge, and what yt-dlp's own response raises."""
        if amt is None:
            self._start = None
            body = b"".join(iter(lambda: self._read(_CHUNK_BYTES), b""))
            self._transfer.read_whole(body)
            return body
        data = self._read(amt)
        if self._start is not None:
            self._start = self._start + data if len(self._start) + len(data) <= _KEPT_BYTES else None
        return data

    def _read(self, amount: int) -> bytes:
        inner: Untyped = self.fp
        data: bytes
        if self._ahead:
            data, self._ahead = self._ahead[:amount], self._ahead[amount:]
            return data
        if inner.closed:
            return b""
        began = time.monotonic()
        try:
            data = inner.read(min(amount, self._at_once))
        except TransportError as exc:
            self._transfer.failure, self._transfer.broken_body = exc, True
            raise
        self._pace(time.monotonic() - began)
        self._transfer.receive(len(data))
        if inner.closed:
            self.close()
        return data

    def _pace(self, seconds: float) -> None:
        if seconds > _SLOW_SECONDS:
            self._at_once = max(self._at_once // 2, _LEAST_BYTES)
        elif seconds < _FAST_SECONDS:
            self._at_once = min(self._at_once * 2, _CHUNK_BYTES)


class GuardedYoutubeDL(YoutubeDL):
    """YoutubeDL whose requests are checked, bounded and counted. `transfer` is the running job's.

    Some links are good for one request. So the response that showed that an address is a file is held, and is the
    answer to the next request for that address, which may be another job's.
    """

    def __init__(self, params: dict[str, Untyped], guard: Guard, max_redirects: int) -> None:
        self.guard = guard
        self.transfer = Transfer(0)
        self._max_redirects = max_redirects
        self._held: CountedResponse | None = None
        untyped: Untyped = params
        super().__init__(untyped)

    def build_request_director(self, handlers: Untyped, preferences: Untyped = None) -> Untyped:
        """Use one handler: the guarded one."""
        del preferences
        handlers = [_handler(self.guard, self._max_redirects)]
        return super().build_request_director(handlers)

    @property
    def holds(self) -> bool:
        """Whether a response is held."""
        return self._held is not None

    def hold(self, response: CountedResponse) -> None:
        """Hold a response in place of the one that is held, unless its beginning is gone."""
        self.let_go()
        if response.start_again():
            self._held = response

    def let_go(self) -> None:
        """Close the response that is held, if there is one."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def urlopen(self, req: Untyped) -> Untyped:
        """Open a URL. Raises UrlNotAllowed, MediaTooLarge, SourceTruncated, and what YoutubeDL.urlopen raises."""
        request: Untyped = Request(req) if isinstance(req, str) else req
        transfer = self.transfer
        self.guard.check_url(request.url)
        transfer.request()
        if (held := self._held_for(request)) is not None:
            transfer.opened(request, held)
            held.hand_over(transfer)
            return held
        try:
            response: Untyped = super().urlopen(request)
        except HTTPError as exc:
            transfer.failure, transfer.broken_body = exc, False
            exc.response = CountedResponse(exc.response, transfer)
            raise
        except NoSupportingHandlers as exc:
            if ours := next((error for error in exc.unexpected_errors if isinstance(error, AppError)), None):
                raise ours from exc
            raise
        except Exception as exc:
            transfer.failure, transfer.broken_body = exc, False
            raise
        counted = CountedResponse(response, transfer)
        transfer.opened(request, counted)
        return counted

    def _held_for(self, request: Untyped) -> CountedResponse | None:
        """Return the held response when it answers this request, and hold it no more."""
        held = self._held
        if held is None or held.url != request.url or not _wants_plain_file(request):
            return None
        self._held = None
        return held


def _handler(guard: Guard, max_redirects: int) -> Untyped:
    """Return yt-dlp's handler on `requests`, whose class its public modules register but do not name."""
    base: Untyped = import_module("yt_dlp.networking._requests").RequestsRH

    class GuardedRequestsRH(base):
        """Checks where a redirect leads, counts redirects, and reads none of their bodies."""

        def _create_instance(self, **parameters: Untyped) -> Untyped:
            session: Untyped = base._create_instance(self, **parameters)  # noqa: SLF001 - the method that yt-dlp's handlers override
            session.max_redirects = max_redirects
            session.hooks["response"] = [_redirect_hook(guard)]
            return session

    return GuardedRequestsRH


def _redirect_hook(guard: Guard) -> Callable[..., None]:
    def hook(response: requests.Response, **_: object) -> None:
        if response.is_redirect:
            guard.check_url(urljoin(response.url, response.headers["Location"]))
            response.close()

    return hook
