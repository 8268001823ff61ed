"""The responses of the YouTube Data API v3, as far as they are read; other fields are ignored.

Shapes: https://developers.google.com/youtube/v3/docs
"""

from __future__ import annotations

from pydantic import BaseModel, Field


class SearchId(BaseModel):
    """The id of a search result; only videos have a `videoId`."""

    video_id: str = Field("", alias="videoId")


class SearchItem(BaseModel):
    """One search result."""

    id: SearchId


class SearchResponse(BaseModel):
    """`search.list`."""

    items: list[SearchItem]


class Thumbnail(BaseModel):
    """One thumbnail, its sides in pixels."""

    url: str = ""
    width: int = 0
    height: int = 0


class Snippet(BaseModel):
    """Title, thumbnails, and whether it is live."""

    title: str
    live: str = Field("none", alias="liveBroadcastContent")
    thumbnails: dict[str, Thumbnail] = {}


class ContentRating(BaseModel):
    """Age restriction."""

    youtube: str = Field("", alias="ytRating")


class ContentDetails(BaseModel):
    """`regionRestriction` is not read: it is about the viewers' regions, not about where this service runs."""

    duration: str = ""
    rating: ContentRating = Field(ContentRating(ytRating=""), alias="contentRating")


class VideoStatus(BaseModel):
    """Privacy, and the state of its upload."""

    privacy: str = Field("public", alias="privacyStatus")
    upload: str = Field("processed", alias="uploadStatus")


class Video(BaseModel):
    """One video."""

    id: str
    snippet: Snippet
    content: ContentDetails = Field(ContentDetails(contentRating=ContentRating(ytRating="")), alias="contentDetails")
    status: VideoStatus = VideoStatus(privacyStatus="public", uploadStatus="processed")


class VideosResponse(BaseModel):
    """`videos.list`."""

    items: list[Video]


class PlaylistContentDetails(BaseModel):
    """How many items a playlist has."""

    count: int = Field(0, alias="itemCount")


class Playlist(BaseModel):
    """One playlist."""

    snippet: Snippet
    content: PlaylistContentDetails = Field(PlaylistContentDetails(itemCount=0), alias="contentDetails")


class PlaylistsResponse(BaseModel):
    """`playlists.list`."""

    items: list[Playlist] = []


class ItemContentDetails(BaseModel):
    """Which video an item is."""

    video_id: str = Field("", alias="videoId")


class PlaylistItem(BaseModel):
    """One item."""

    content: ItemContentDetails = Field(ItemContentDetails(videoId=""), alias="contentDetails")


class PlaylistItemsResponse(BaseModel):
    """`playlistItems.list`, a page of it."""

    items: list[PlaylistItem] = []
    next_page: str = Field("", alias="nextPageToken")


class ErrorReason(BaseModel):
    """One reason of a refusal."""

    reason: str = ""


class ErrorBody(BaseModel):
    """A refusal: YouTube's reasons, and those of Google's front end."""

    errors: list[ErrorReason] = []
    details: list[ErrorReason] = []


class ErrorResponse(BaseModel):
    """The body of every refused call."""

    error: ErrorBody
