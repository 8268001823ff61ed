"""Entries and players' states for tests."""

from __future__ import annotations

from datetime import UTC, datetime

from bot_service.player.rules.model import Entry
from bot_service.store.base import Track

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def track(name: str, seconds: int = 60) -> Track:
    return Track(name, f"Song {name}", seconds * 1000, f"https://example.org/{name}", "", "Test", f"{name}.dca")


def entry(name: str, requester: int = 1, *, fetched: bool = True, seconds: int = 60) -> Entry:
    return Entry(name, requester, f"words for {name}", NOW, track(name, seconds) if fetched else None)


def names(entries: list[Entry] | tuple[Entry, ...]) -> str:
    return "".join(one.entry_id for one in entries)
