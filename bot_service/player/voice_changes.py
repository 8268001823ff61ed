"""What somebody's change of voice channel means for the guild's player. Pure: ids and counts in, events out.

Says nothing about the bot being sent away or its channel being deleted: the voice link knows those from its connection,
and tells them from a connection that it ends itself. How long the bot waits alone, and whether it stays whatever
happens (24/7), is the player's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot_service.player.rules.events import Event, Listeners, ListenersLeft, VoiceMoved


@dataclass(frozen=True, slots=True)
class VoiceChange:
    """One member's voice state, before and after: channel ids, None for none.

    `is_self`: the member is this bot. `is_bot`: the member is any bot; bots are no listeners.
    """

    before: int | None
    after: int | None
    is_self: bool = False
    is_bot: bool = False


def events_of(
    change: VoiceChange, *, bots_channel_id: int | None, people: Mapping[int, int], afk_channel_id: int | None = None
) -> list[Event]:
    """Return what the player is to be told, in order.

    `people`: how many people (no bots) are in each channel after the change; channels without any may be left out.
    `bots_channel_id`: where the bot is after the change. Nobody is followed into the channel for those who are away.
    """
    if change.before == change.after:
        return []  # muted, deafened, started a stream
    if change.is_self:
        if change.after is None:
            return []
        moved: list[Event] = [VoiceMoved(change.after)] if change.before is not None else []
        return [*moved, Listeners(people.get(change.after, 0))]
    if change.is_bot or bots_channel_id is None or bots_channel_id not in {change.before, change.after}:
        return []
    count = people.get(bots_channel_id, 0)
    told: list[Event] = [Listeners(count)]
    if count == 0 and change.after is not None and change.after != afk_channel_id:
        told.append(ListenersLeft(change.after))
    return told
