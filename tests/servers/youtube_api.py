"""A YouTube Data API v3 on loopback: the answers' shapes are the real ones, the videos are whatever a test adds.

Search matches like the real one in the respects that matter here: every word counts, results are ranked as added, and
titles in search results are HTML-escaped while those of `videos` are not.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = "AIza-a-key-for-tests"
_KEY_HEADER = "X-goog-api-key"

# reason → HTTP status, domain, and the ErrorInfo reason that Google's front end adds to its own refusals.
_REFUSALS: dict[str, tuple[int, str, str]] = {
    "quotaExceeded": (403, "youtube.quota", ""),
    "dailyLimitExceeded": (403, "usageLimits", ""),
    "rateLimitExceeded": (429, "usageLimits", "RATE_LIMIT_EXCEEDED"),
    "keyInvalid": (400, "usageLimits", ""),
    "keyExpired": (400, "usageLimits", ""),
    "accessNotConfigured": (403, "usageLimits", "SERVICE_DISABLED"),
    "ipRefererBlocked": (403, "usageLimits", "API_KEY_IP_ADDRESS_BLOCKED"),
    "API_KEY_INVALID": (400, "global", "API_KEY_INVALID"),
    "API_KEY_SERVICE_BLOCKED": (403, "global", "API_KEY_SERVICE_BLOCKED"),
    "badRequest": (400, "global", ""),
    "invalidSearchFilter": (400, "youtube.search", ""),
    "videoNotFound": (404, "youtube.video", ""),
    "playlistNotFound": (404, "youtube.playlistItem", ""),
    "forbidden": (403, "global", ""),
    "backendError": (503, "global", ""),
}
_STRANGE_ANSWERS: dict[str, tuple[int, bytes, str]] = {
    "500": (500, b"Internal Server Error", "text/plain"),
    "garbage": (200, b"\x00{not json", "application/json"),
    "shape": (200, b'{"kind": "youtube#nothing", "items": {"id": 1}}', "application/json"),
    "html": (403, b"<html>Forbidden</html>", "text/html"),
}
_METHODS = ("search", "videos", "playlists", "playlistItems")
_LEGACY = {"API_KEY_INVALID": "badRequest", "API_KEY_SERVICE_BLOCKED": "forbidden"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call that arrived: its method (one of `_METHODS`), its parameters, and its whole URL."""

    method: str
    parameters: dict[str, str]
    url: str


@dataclass(slots=True)
class FakeYouTubeApi:
    """What a test sees of the server. `url` is for YOUTUBE_API_URL, `key` for YOUTUBE_API_KEY."""

    url: str = ""
    key: str = KEY
    calls: list[Call] = field(default_factory=list["Call"])
    _videos: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    _playlists: dict[str, tuple[str, list[str]]] = field(default_factory=dict[str, tuple[str, list[str]]])
    _unlisted: set[str] = field(default_factory=set[str])
    _failing: dict[str, str] = field(default_factory=dict[str, str])
    _closing: asyncio.Event = field(default_factory=asyncio.Event)

    def add_video(  # noqa: PLR0913 - one argument a property that a test may care about
        self,
        video_id: str,
        *,
        title: str = "A song",
        duration: str = "PT3M45S",
        live: str = "none",
        privacy: str = "public",
        upload: str = "processed",
        age_restricted: bool = False,
        region_blocked: tuple[str, ...] = (),
    ) -> None:
        """Publish a video; what is added first ranks first."""
        content: dict[str, Any] = {"duration": duration, "definition": "hd", "contentRating": {}}
        if age_restricted:
            content["contentRating"] = {"ytRating": "ytAgeRestricted"}
        if region_blocked:
            content["regionRestriction"] = {"blocked": list(region_blocked)}
        self._videos[video_id] = {
            "kind": "youtube#video",
            "etag": f"etag-{video_id}",
            "id": video_id,
            "snippet": {
                "publishedAt": "2017-07-07T08:00:01Z",
                "channelId": "UC-9-kyTW8ZkZNDHQJ6FgpwQ",
                "title": title,
                "description": "",
                "thumbnails": {
                    "default": {"url": self.thumbnail(video_id, "default"), "width": 120, "height": 90},
                    "maxres": {"url": self.thumbnail(video_id), "width": 1280, "height": 720},
                    "high": {"url": self.thumbnail(video_id, "hqdefault"), "width": 480, "height": 360},
                },
                "channelTitle": "A channel",
                "liveBroadcastContent": live,
            },
            "contentDetails": content,
            "status": {"uploadStatus": upload, "privacyStatus": privacy, "embeddable": True},
        }

    def add_playlist(self, playlist_id: str, *video_ids: str, title: str = "A playlist") -> None:
        """Publish a playlist; it may list removed videos."""
        self._playlists[playlist_id] = (title, list(video_ids))

    def remove_video(self, video_id: str) -> None:
        """Remove a video; searches go on to find it, as the real index is updated later."""
        self._unlisted.add(video_id)

    def fail_with(self, reason: str | None, *, method: str = "") -> None:
        """Answer every call, or those of one method, with that reason; None ends it.

        Reasons are the API's own ("quotaExceeded", "keyInvalid", ...), and: "500", "garbage" (200, not JSON), "shape"
        (200, another JSON), "html" (403 by a proxy), "drop" (the connection ends), "slow" (no answer until the end).
        """
        if reason is not None and reason not in {*_REFUSALS, *_STRANGE_ANSWERS, "drop", "slow"}:
            raise ValueError(reason)
        for name in (method,) if method else _METHODS:
            if reason is None:
                self._failing.pop(name, None)
            else:
                self._failing[name] = reason

    def count(self, method: str) -> int:
        """Return how many calls of that method arrived."""
        return sum(call.method == method for call in self.calls)

    @staticmethod
    def thumbnail(video_id: str, name: str = "maxresdefault") -> str:
        """Return the URL of a thumbnail, the largest one by default."""
        return f"https://i.ytimg.com/vi/{video_id}/{name}.jpg"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one call."""
        method = request.match_info["method"]
        self.calls.append(Call(method, dict(request.query), str(request.url)))
        reason = self._failing.get(method)
        if reason is not None:
            return await self._fail(request, reason)
        if request.headers.get(_KEY_HEADER) != self.key:
            return _refuse("API_KEY_INVALID")
        match method:
            case "search":
                answer = self._search(request)
            case "videos":
                answer = self._describe(request)
            case "playlists":
                answer = self._describe_playlists(request)
            case _:
                if request.query.get("playlistId") not in self._playlists:
                    return _refuse("playlistNotFound")
                answer = self._list_items(request)
        return web.json_response(answer)

    def close(self) -> None:
        """Send the slow answers."""
        self._closing.set()

    async def _fail(self, request: web.Request, reason: str) -> web.StreamResponse:
        if reason in _STRANGE_ANSWERS:
            status, body, content_type = _STRANGE_ANSWERS[reason]
            return web.Response(status=status, body=body, content_type=content_type)
        if reason == "drop" and request.transport is not None:
            request.transport.close()
        if reason == "slow":
            await self._closing.wait()
        return _refuse(reason if reason in _REFUSALS else "backendError")

    def _search(self, request: web.Request) -> dict[str, Any]:
        words = request.query.get("q", "").casefold().split()
        found = [
            video
            for video in self._videos.values()
            if video["status"]["privacyStatus"] == "public"
            and all(word in video["snippet"]["title"].casefold() for word in words)
        ][: int(request.query.get("maxResults", "5"))]
        return {
            "kind": "youtube#searchListResponse",
            "etag": "etag-search",
            "regionCode": "AR",
            "pageInfo": {"totalResults": len(found), "resultsPerPage": len(found)},
            "items": [
                {
                    "kind": "youtube#searchResult",
                    "etag": video["etag"],
                    "id": {"kind": "youtube#video", "videoId": video["id"]},
                    "snippet": video["snippet"] | {"title": html.escape(video["snippet"]["title"])},
                }
                for video in found
            ],
        }

    def _describe(self, request: web.Request) -> dict[str, Any]:
        wanted = request.query.get("id", "").split(",")
        items = [self._videos[i] for i in wanted if i in self._videos and i not in self._unlisted]
        return {
            "kind": "youtube#videoListResponse",
            "etag": "etag-videos",
            "items": items,
            "pageInfo": {"totalResults": len(items), "resultsPerPage": len(items)},
        }

    def _describe_playlists(self, request: web.Request) -> dict[str, Any]:
        found = [(name, *self._playlists[name]) for name in (request.query.get("id", ""),) if name in self._playlists]
        items: list[dict[str, Any]] = [
            {
                "kind": "youtube#playlist",
                "id": name,
                "snippet": {"title": title, "channelTitle": "A channel", "thumbnails": {}},
                "contentDetails": {"itemCount": len(videos)},
            }
            for name, title, videos in found
        ]
        return {"kind": "youtube#playlistListResponse", "etag": "etag-playlists", "items": items}

    def _list_items(self, request: web.Request) -> dict[str, Any]:
        """Answer one page; the token of the next is the place where it begins."""
        _, videos = self._playlists[request.query["playlistId"]]
        first, size = int(request.query.get("pageToken", "0")), int(request.query.get("maxResults", "5"))
        items = [
            {"kind": "youtube#playlistItem", "id": f"item-{place}", "contentDetails": {"videoId": video_id}}
            for place, video_id in enumerate(videos[first : first + size], first)
        ]
        more = {"nextPageToken": str(first + size)} if first + size < len(videos) else {}
        page = {"totalResults": len(videos), "resultsPerPage": size}
        return {"kind": "youtube#playlistItemListResponse", "items": items, "pageInfo": page, **more}


def _refuse(reason: str) -> web.Response:
    status, domain, info = _REFUSALS[reason]
    message = f"Refused because of {reason}."
    error: dict[str, Any] = {
        "code": status,
        "message": message,
        "errors": [{"message": message, "domain": domain, "reason": _LEGACY.get(reason, reason)}],
    }
    if info:
        error["status"] = "INVALID_ARGUMENT" if status == web.HTTPBadRequest.status_code else "PERMISSION_DENIED"
        error["details"] = [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": info,
                "domain": "googleapis.com",
                "metadata": {"service": "youtube.googleapis.com"},
            }
        ]
    return web.json_response({"error": error}, status=status)


@asynccontextmanager
async def fake_youtube_api() -> AsyncGenerator[FakeYouTubeApi, None]:
    """Serve on a free port of 127.0.0.1 for as long as the context is open."""
    fake = FakeYouTubeApi()
    app = web.Application()
    app.router.add_get("/youtube/v3/{method:" + "|".join(_METHODS) + "}", fake.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        fake.url = f"http://{host}:{port}/youtube/v3"
        yield fake
    finally:
        fake.close()
        await runner.cleanup()
