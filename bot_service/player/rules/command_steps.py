"""The transitions of commands. Pure. A step refuses before it changes anything."""

from __future__ import annotations

from bot_service.player.rules import events as ev
from bot_service.player.rules import outcomes as out
from bot_service.player.rules.model import Entry, Phase
from bot_service.player.rules.outcomes import Hold, Notice, NoticeKind, PlayerRefusal, RefusalCode
from bot_service.player.rules.state import PlayerState
from bot_service.player.rules.transition import Transition
from common.dca import FRAME_MS


def enqueue(transition: Transition, command: ev.Enqueue) -> out.Enqueued:
    """Add the new entries that fit; join the user's channel and start, if nothing plays."""
    state = transition.state
    elsewhere = state.is_connected_or_trying and command.voice_channel_id != state.voice_channel_id
    if elsewhere and (state.current is not None or state.queue.entries) and state.listeners != 0:
        raise PlayerRefusal(RefusalCode.OTHER_CHANNEL)
    added, left_out = _fitting(state, command.entries)
    if not added:
        return out.Enqueued(0, starts_now=False, added=(), left_out=left_out)
    state.queue.add(added, front=command.front)
    state.text_channel_id = command.text_channel_id
    state.failures = 0
    if elsewhere:
        transition.connect(command.voice_channel_id)
    elif not state.is_connected_or_trying:
        state.voice_channel_id = command.voice_channel_id
    state.parked = False
    _start_if_idle(transition)
    if not state.is_connected_or_trying:
        transition.connect()
    if state.current is not None and state.current.entry_id == added[0].entry_id:
        return out.Enqueued(0, starts_now=True, added=added, left_out=left_out)
    position = 1 + state.queue.entries.index(added[0])
    return out.Enqueued(position, starts_now=False, added=added, left_out=left_out)


def ready(transition: Transition, command: ev.Ready) -> out.Outcome:
    """Set the track of a fetched song and start it if nothing plays. A song that was unfinished and has a track already
    gets the new one and stays where it is, playing or not.
    """
    state = transition.state
    if state.current is not None and state.current.entry_id == command.entry_id:
        transition.replace_track(command.track)
        return out.Arrived(0, starts_now=True)
    if state.queue.update_history(command.entry_id, command.track):
        return out.Done()
    if not state.queue.resolve(command.entry_id, command.track):
        return out.Ignored()
    if not state.parked:
        _start_if_idle(transition)
    if state.current is not None and state.current.entry_id == command.entry_id:
        return out.Arrived(0, starts_now=True)
    ids = [entry.entry_id for entry in state.queue.entries]
    return out.Arrived(1 + ids.index(command.entry_id), starts_now=False)


def dropped(transition: Transition, command: ev.Dropped) -> out.Outcome:
    """Remove a song that could not be fetched; if it is the current one, the next one plays."""
    current = transition.state.current
    if current is not None and current.entry_id == command.entry_id:
        transition.discard_current()
        return out.Removed(current)
    entry = transition.state.queue.drop(command.entry_id)
    return out.Ignored() if entry is None else out.Removed(entry)


def skip(transition: Transition, command: ev.Skip) -> out.Outcome:
    """Count the vote; go on to the next song if the votes suffice."""
    state = transition.state
    left = _current(state)
    if command.entry_id not in {"", left.entry_id}:
        return out.AlreadySkipped(left)
    if command.present is not None:
        state.votes &= command.present
    if not command.may_skip and command.user_id != left.requester_id:
        state.votes.add(command.user_id)
        if len(state.votes) < command.votes_needed:
            return out.VoteCast(len(state.votes), command.votes_needed)
    state.failures = 0
    transition.advance(forced=True)
    return out.Skipped(left, state.current)


def stop(transition: Transition, _command: ev.Stop) -> out.Stopped:
    """Clear everything and leave."""
    state = transition.state
    if state.phase is Phase.IDLE and not state.voice_ready and not state.joining and not state.queue.entries:
        raise PlayerRefusal(RefusalCode.NOTHING_PLAYING)
    return out.Stopped(transition.clear())


def pause(transition: Transition, _command: ev.Pause) -> out.Done:
    """Hold the song now, or once there is a voice."""
    state = transition.state
    _current(state)
    if state.held:
        raise PlayerRefusal(RefusalCode.ALREADY_PAUSED)
    state.held = True
    if state.phase is Phase.PLAYING:
        state.phase = Phase.PAUSED
        transition.emit(Hold())
    return out.Done()


def resume(transition: Transition, _command: ev.Resume) -> out.Done:
    """Resume the song, or a parked queue."""
    state = transition.state
    if state.current is None:
        following = state.queue.peek_next(None)
        if following is None or (state.voice_channel_id is None and not state.voice_ready):
            raise PlayerRefusal(RefusalCode.NOTHING_PLAYING)
        state.failures = 0
        transition.advance(forced=False)
        return out.Done()
    if state.silenced is not None:
        raise PlayerRefusal(RefusalCode.SILENCED)
    if not state.held:
        raise PlayerRefusal(RefusalCode.NOT_PAUSED)
    state.held = False
    transition.unpause()
    return out.Done()


def seek(transition: Transition, command: ev.Seek) -> out.Sought:
    """Play from another frame; a paused song stays paused."""
    state = transition.state
    track = _current(state).track
    if track is None or not 0 <= command.position_ms < track.duration_ms:
        raise PlayerRefusal(RefusalCode.CANNOT_SEEK)
    state.next_frame = command.position_ms // FRAME_MS
    if state.phase is Phase.PLAYING:
        transition.play()
    else:
        transition.halt()
    return out.Sought(state.next_frame * FRAME_MS)


def remove(transition: Transition, command: ev.Remove) -> out.Removed:
    """Remove an entry, ready or not."""
    return out.Removed(transition.state.queue.remove(command.position))


def move(transition: Transition, command: ev.Move) -> out.Moved:
    """Move an entry."""
    return out.Moved(transition.state.queue.move(command.source, command.target), command.target)


def shuffle(transition: Transition, _command: ev.Shuffle) -> out.Done:
    """Shuffle the upcoming entries."""
    _not_empty(transition.state)
    transition.state.queue.shuffle(transition.state.random)
    return out.Done()


def set_loop(transition: Transition, command: ev.SetLoop) -> out.Done:
    """Set the loop mode."""
    transition.state.queue.loop = command.mode
    return out.Done()


def previous(transition: Transition, command: ev.Previous) -> out.Outcome:
    """Play the previous song."""
    state = transition.state
    _has_channel(state)
    left = state.current
    if left is not None and command.entry_id not in {"", left.entry_id}:
        return out.AlreadySkipped(left)
    entry = state.queue.take_previous(left)
    if entry is None:
        raise PlayerRefusal(RefusalCode.NOTHING_BEFORE)
    return _switch(transition, left, entry)


def clear(transition: Transition, _command: ev.Clear) -> out.Cleared:
    """Remove the upcoming entries."""
    _not_empty(transition.state)
    transition.state.resume_point = None
    return out.Cleared(transition.state.queue.clear())


def jump(transition: Transition, command: ev.Jump) -> out.Skipped:
    """Play the entry at a position."""
    state = transition.state
    _has_channel(state)
    left = state.current
    return _switch(transition, left, state.queue.jump(left, command.position))


def set_rules(transition: Transition, command: ev.SetRules) -> out.Done:
    """Apply the guild's settings. With `stay` switched off, timers start when the step settles."""
    transition.state.rules = command.rules
    transition.state.queue.fair = command.rules.fair_queue
    return out.Done()


def restore(transition: Transition, command: ev.Restore) -> out.Outcome:
    """Resume a saved player at its frame; one that was parked stays parked."""
    state, saved = transition.state, command.saved
    if state.current is not None or state.queue.entries or state.is_connected_or_trying:
        return out.Ignored()
    state.rules = command.rules
    entry = state.load(saved)
    if entry is not None and (entry.track is None or saved.voice_channel_id is None):
        state.queue.put_front(entry)
        entry = None
    if entry is not None:
        transition.start(entry, frame=saved.next_frame, held=saved.phase == Phase.PAUSED.value)
        transition.emit(Notice(NoticeKind.RESTORED, entry))
        return out.Done()
    fetching = any(waiting.track is None for waiting in saved.entries)
    state.parked = saved.phase == Phase.IDLE.value and bool(saved.entries) and not fetching
    if not state.parked and (saved.entries or state.rules.stay):
        _start_if_idle(transition)
        if not state.is_connected_or_trying:
            transition.connect()
    return out.Done()


def _fitting(state: PlayerState, entries: tuple[Entry, ...]) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Split entries into those that are accepted and those left out.

    Raises:
        PlayerRefusal: there are new ones and none is accepted.
    """
    known = {entry.entry_id for entry in state.queue.entries}
    if state.current is not None:
        known.add(state.current.entry_id)
    mine: dict[int, int] = {}
    for entry in state.queue.entries:
        mine[entry.requester_id] = mine.get(entry.requester_id, 0) + 1
    added: list[Entry] = []
    left_out: list[Entry] = []
    refusal: RefusalCode | None = None
    for entry in entries:
        count = mine.get(entry.requester_id, 0)
        if entry.entry_id in known:
            left_out.append(entry)
        elif len(state.queue) + len(added) >= state.limits.queue_limit:
            refusal = RefusalCode.QUEUE_FULL
            left_out.append(entry)
        elif 0 < state.rules.max_per_user <= count:
            refusal = refusal or RefusalCode.TOO_MANY_OF_YOURS
            left_out.append(entry)
        else:
            known.add(entry.entry_id)
            mine[entry.requester_id] = count + 1
            added.append(entry)
    if refusal is not None and not added:
        raise PlayerRefusal(refusal)
    return tuple(added), tuple(left_out)


def _start_if_idle(transition: Transition) -> None:
    state = transition.state
    if state.current is None and state.queue.peek_next(None) is not None and state.voice_channel_id is not None:
        transition.advance(forced=False)


def _switch(transition: Transition, left: Entry | None, entry: Entry) -> out.Skipped:
    transition.state.failures = 0
    transition.state.parked = False
    transition.start(entry)
    return out.Skipped(left, entry)


def _current(state: PlayerState) -> Entry:
    if state.current is None:
        raise PlayerRefusal(RefusalCode.NOTHING_PLAYING)
    return state.current


def _not_empty(state: PlayerState) -> None:
    if not state.queue.entries:
        raise PlayerRefusal(RefusalCode.QUEUE_EMPTY)


def _has_channel(state: PlayerState) -> None:
    if state.voice_channel_id is None and not state.voice_ready:
        raise PlayerRefusal(RefusalCode.NO_CHANNEL)
