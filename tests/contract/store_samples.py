"""What the bot's store is given in tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot_service.store.base import PendingRequest, SavedEntry, SavedPlayer, Track

SNOWFLAKE = 1_234_567_890_123_456_789
THEN = datetime(2024, 5, 1, 12, 30, 0, 123_456, tzinfo=UTC)


def track(number: int = 1) -> Track:
    return Track(
        video_id=f"video-{number}",
        title=f"Canción № {number} 🎵",
        duration_ms=225_000,
        url=f"https://example.org/{number}",
        thumbnail_url="",
        platform="YouTube",
        file_path=f"audio/video-{number}.dca",
    )


def entry(number: int = 1, *, ready: bool = True) -> SavedEntry:
    return SavedEntry(f"entry-{number}", SNOWFLAKE + number, f"song {number}", THEN, track(number) if ready else None)


def player(guild_id: int = SNOWFLAKE) -> SavedPlayer:
    return SavedPlayer(
        guild_id=guild_id,
        phase="playing",
        current=entry(1),
        next_frame=42,
        entries=(entry(2), entry(3, ready=False)),
        history=(entry(4),),
        loop="queue",
        voice_channel_id=SNOWFLAKE + 1,
        text_channel_id=SNOWFLAKE + 2,
        message_id=SNOWFLAKE + 3,
        saved_at=THEN,
    )


def request(number: int = 1, *, playlist_id: str | None = None) -> PendingRequest:
    return PendingRequest(
        request_id=f"request-{number}",
        guild_id=SNOWFLAKE,
        text_channel_id=SNOWFLAKE + 1,
        voice_channel_id=None,
        user_id=SNOWFLAKE + 2,
        song=f"song {number}",
        locale="es",
        interaction_token="the interaction token",  # noqa: S106 - of no interaction
        application_id=SNOWFLAKE + 3,
        message_id=None,
        asked_at=THEN + timedelta(seconds=number),
        playlist_id=playlist_id,
    )
