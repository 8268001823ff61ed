"""Translates a member's change of voice channel into events for the guild's player. Pure.

Removal of the bot and deletion of its channel are not reported here: the voice link detects them, and distinguishes
them from a disconnect of its own. Timers and the `stay` setting are applied by the state machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot_service.player.rules.events import Event, Listeners, ListenersLeft, VoiceMoved


@dataclass(frozen=True, slots=True)
class VoiceChange:
    """A member's voice channel id before and after the change; None: in no channel.

    `is_self`: the member is this bot. `is_bot`: the member is any bot; bots do not count as listeners.
    """

    before: int | None
    after: int | None
    is_self: bool = False
    is_bot: bool = False


def events_of(
    change: VoiceChange,
    *,
    bots_channel_id: int | None,
    people: Mapping[int, int],
    afk_channel_id: int | None = None,
    requesters_channel_id: int | None = None,
) -> list[Event]:
    """Return the player's events, in order.

    `people`: members (bots excluded) per channel after the change; empty channels may be missing. `bots_channel_id`:
    the channel that the bot is joining, else the one that it is in after the change. `requesters_channel_id`: where the
    member is who asked for the song. The bot does not follow its last listener into the AFK channel.
    """
    if change.before == change.after:
        return []  # muted, deafened, started a stream
    if change.is_self:
        return _own_events(change, people, afk_channel_id, requesters_channel_id)
    if change.is_bot or bots_channel_id is None or bots_channel_id not in {change.before, change.after}:
        return []
    count = people.get(bots_channel_id, 0)
    told: list[Event] = [Listeners(count)]
    if count == 0 and change.after is not None and change.after != afk_channel_id:
        told.append(ListenersLeft(change.after))
    return told


def _own_events(
    change: VoiceChange, people: Mapping[int, int], afk_channel_id: int | None, requesters_channel_id: int | None
) -> list[Event]:
    if change.after is None:
        return []
    count = people.get(change.after, 0)
    if change.before is not None:
        return [VoiceMoved(change.after), Listeners(count)]
    told: list[Event] = [Listeners(count)]
    # Who asked may have moved before the player knew where it was to go.
    if count == 0 and requesters_channel_id is not None and requesters_channel_id != afk_channel_id:
        told.append(ListenersLeft(requesters_channel_id))
    return told
