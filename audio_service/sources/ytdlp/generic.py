"""yt-dlp's extractor for what is of no known site, which here also reads lists of songs (see `song_lists`).

yt-dlp knows XSPF, RSS and HLS; M3U, PLS and ASX look like media files to it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from audio_service.sources.ytdlp.song_lists import MAX_BYTES, SongList, is_begun, is_named_list, may_be_list, read_list
from common.errors import MediaUnsupported

Info = dict[str, Any]

_HEAD_BYTES = 512
_MAX_LISTS = 5
_base: Any = import_module("yt_dlp.extractor.generic").GenericIE


class _ListFoundError(Exception):
    """The response is a list."""

    def __init__(self, found: SongList) -> None:
        super().__init__(found.title)
        self.found = found


class ListReadingIE(_base):
    """GenericIE with lists of songs. An entry is an address as if it had been typed: each is requested, and so checked
    by the guard, like any other, and belongs to the extractor that knows it.
    """

    IE_NAME = "generic"
    _lists_left = _MAX_LISTS
    _looked_at = True
    _response: Any = None

    def __init__(self) -> None:
        _base.__init__(self)
        self._titles: dict[str, str] = {}

    @classmethod
    def ie_key(cls) -> str:
        """Take the place of yt-dlp's own."""
        return "Generic"

    def begin(self) -> None:
        """Begin a job: what lists lead to is counted anew."""
        self._lists_left = _MAX_LISTS
        self._titles.clear()
        self._response = None

    def _real_extract(self, url: str) -> Info:
        self._looked_at, self._response = False, None
        try:
            info: Info = _base._real_extract(self, url)  # noqa: SLF001 - the method that extractors override
        except _ListFoundError as exc:
            return self._playlist(exc.found, url)
        response, self._response = self._response, None
        if response is not None and (info.get("direct") or info.get("url") == response.url):
            self._downloader.hold(response)
        title = self._titles.get(url)
        if title and info.get("_type") == "url":  # a redirect
            self._titles[info["url"]] = title
        elif title and info.get("direct"):  # a page has its own title, and a site's record is not renamed by a list
            info["title"] = title
        return info

    def _request_webpage(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - a method of yt-dlp
        response: Any = _base._request_webpage(self, *arguments, **options)  # noqa: SLF001 - as above
        if self._looked_at or not response:
            return response
        self._looked_at, self._response = True, response
        kind = str(response.get_header("Content-Type") or "")
        if not may_be_list(response.url, kind):
            return response
        named = is_named_list(response.url) or "mpegurl" in kind.lower()
        if not is_begun(response.peek(_HEAD_BYTES), named=named):
            return response
        found = read_list(response.peek(MAX_BYTES), response.url, named=named)
        if found is None:
            return response
        response.close()
        raise _ListFoundError(found)

    def _playlist(self, found: SongList, url: str) -> Info:
        self._lists_left -= 1
        if self._lists_left < 0:
            raise MediaUnsupported("one list leads to the next without end")
        if not found.songs:
            raise MediaUnsupported("a list without a web address")
        self._titles.update({song.url: song.title for song in found.songs if song.title})
        entries = [
            self.url_result(song.url, video_title=song.title or None, duration=song.seconds or None)
            for song in found.songs
        ]
        return self.playlist_result(entries, self._generic_id(url), found.title or self._generic_title(url))
