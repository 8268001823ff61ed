"""Why a player says no to a person. The words for it are in `bot_service.discord_ui.replies`."""

from __future__ import annotations

from enum import StrEnum


class RefusalCode(StrEnum):
    """Every reason there is. `replies.errors` has a text for each."""

    NOTHING_PLAYING = "nothing_playing"
    ALREADY_PAUSED = "already_paused"
    NOT_PAUSED = "not_paused"
    NO_SUCH_POSITION = "no_such_position"
    STILL_FETCHING = "still_fetching"
    QUEUE_FULL = "queue_full"
    QUEUE_EMPTY = "queue_empty"
    TOO_MANY_OF_YOURS = "too_many_of_yours"
    OTHER_CHANNEL = "other_channel"
    NO_CHANNEL = "no_channel"
    CANNOT_SEEK = "cannot_seek"
    NOTHING_BEFORE = "nothing_before"
    SHUTTING_DOWN = "shutting_down"


class PlayerRefusal(Exception):
    """A command that makes no sense now. Nothing was changed by it; `code` says why."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code.value)
        self.code = code


class NoSuchPosition(PlayerRefusal):
    """The queue has no such (1-based) position."""

    def __init__(self) -> None:
        super().__init__(RefusalCode.NO_SUCH_POSITION)
