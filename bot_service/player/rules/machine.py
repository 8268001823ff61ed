"""The transition function of a guild's player. Pure: events in, changed state and effects out.

    idle ──Enqueue──▶ connecting ──VoiceReady──▶ playing ◀──Pause, Resume──▶ paused
      ▲                  │  ▲                      │                          │
      │              VoiceLost                 VoiceLost                  VoiceLost
      │                  ▼  │                      ▼                          ▼
      └──tries used up── recovering ──VoiceReady──▶ playing or paused, at the same frame

Every phase goes to idle on Stop, on removal from the channel, and when the alone or idle timer fires. The steps of
events are below, those of commands in `command_steps`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from bot_service.player.rules import command_steps
from bot_service.player.rules import events as ev
from bot_service.player.rules import outcomes as out
from bot_service.player.rules.model import Phase, Silence, Timer
from bot_service.player.rules.state import PlayerState
from bot_service.player.rules.transition import Transition
from common.errors import SourceTruncated, error_for_code

# A playback that got this far before its frames failed is retried at the same frame.
_PROGRESS_FRAMES = 50
_IN_AUDIENCE = frozenset({Silence.AUDIENCE, Silence.INVITED, Silence.ASKED, Silence.SENT_DOWN, Silence.REFUSED})
_SHOW_NOTHING = (ev.Listeners, ev.MessageKept)


def step(state: PlayerState, event: ev.Event, now: datetime) -> tuple[out.Outcome, list[out.Effect]]:
    """Apply an event to the state; return the outcome and the effects to perform, in order.

    Raises:
        PlayerRefusal: the command is not possible in this state, which is unchanged.
    """
    transition = Transition(state, now)
    outcome = _STEPS[type(event)](transition, event)
    transition.settle()
    if not isinstance(outcome, out.Ignored | out.VoteCast | out.AlreadySkipped):
        transition.emit(out.Save())
        if not isinstance(event, _SHOW_NOTHING):
            transition.emit(out.Refresh())
    return outcome, transition.effects


# Events. A stale one is ignored.


def _join_waits(transition: Transition, event: ev.JoinWaits) -> out.Outcome:
    """Note that a join waits for its turn, or no longer; the wait is not part of the recovery's time."""
    state = transition.state
    if not state.joining:
        return out.Ignored()
    if event.waiting:
        state.waiting_since = transition.now
        return out.Done()
    if state.waiting_since is not None and state.recovering_since is not None:
        state.recovering_since += transition.now - max(state.waiting_since, state.recovering_since)
    state.waiting_since = None
    return out.Done()


def _voice_ready(transition: Transition, event: ev.VoiceReady) -> out.Outcome:
    """Play the song that waits for the voice."""
    state = transition.state
    if not state.joining and state.phase is not Phase.RECOVERING:
        if not state.voice_ready:
            transition.emit(out.Leave())  # stopped while the join was under way
        return out.Ignored()
    if state.joining and event.channel_id != state.voice_channel_id:
        return out.Ignored()  # another join was asked for in the same moment; its answer is still to come
    moved = state.voice_ready
    state.joining, state.voice_ready = False, True
    state.voice_channel_id = event.channel_id
    state.ready_since = transition.now
    if moved and state.phase in {Phase.PLAYING, Phase.PAUSED}:
        return out.Done()
    if state.current is not None:
        transition.proceed()
    elif not state.parked:
        state.phase = Phase.IDLE
        transition.advance(forced=False)
    else:
        state.phase = Phase.IDLE
    return out.Done()


def _voice_lost(transition: Transition, event: ev.VoiceLost) -> out.Outcome:
    """Recover the voice, or give it up if a retry cannot succeed."""
    if not transition.state.is_connected_or_trying:
        return out.Ignored()
    if event.may_retry:
        transition.lose_voice(event.cause)
    else:
        transition.give_up(event.cause)
    return out.Done()


def _voice_moved(transition: Transition, event: ev.VoiceMoved) -> out.Outcome:
    """Note the channel to which a moderator moved the bot. While it joins, where it is going is known already."""
    state = transition.state
    if state.joining or not state.is_connected_or_trying or state.voice_channel_id == event.channel_id:
        return out.Ignored()
    state.voice_channel_id = event.channel_id
    return out.Done()


def _silenced(transition: Transition, event: ev.Silenced) -> out.Outcome:
    """Pause while the bot is not heard, and go on when it is."""
    state = transition.state
    if not state.is_connected_or_trying or not _is_news(state.silenced, event):
        return out.Ignored()
    transition.silence(event.reason)
    return out.Done()


def _is_news(known: Silence | None, event: ev.Silenced) -> bool:
    """Whether this differs from what is known. That it sits in the audience is known from each reason to be there."""
    match event.reason:
        case Silence.AUDIENCE:
            return event.arrived or known not in _IN_AUDIENCE
        case Silence.ASKED | Silence.REFUSED:
            return known in {Silence.AUDIENCE, Silence.INVITED}
        case _:
            return event.reason is not known


def _listeners_left(transition: Transition, event: ev.ListenersLeft) -> out.Outcome:
    """Follow the last listener, unless `stay` is set."""
    state = transition.state
    if state.rules.stay or not state.is_connected_or_trying or state.voice_channel_id == event.channel_id:
        return out.Ignored()
    state.listeners = None
    transition.connect(event.channel_id)
    return out.Done()


def _listeners(transition: Transition, event: ev.Listeners) -> out.Outcome:
    """Note the number of listeners; `settle` arms or disarms the alone timer."""
    if not transition.state.is_connected_or_trying:
        return out.Ignored()
    transition.state.listeners = event.count
    return out.Done()


def _elapsed(transition: Transition, event: ev.Elapsed) -> out.Outcome:
    """Perform the timer's action; a disarmed timer is stale."""
    state = transition.state
    if event.timer not in state.armed:
        return out.Ignored()
    state.armed.discard(event.timer)
    match event.timer:
        case Timer.IDLE:
            transition.clear()
            transition.emit(out.Notice(out.NoticeKind.LEFT_IDLE))
        case Timer.ALONE:
            transition.clear()
            transition.emit(out.Notice(out.NoticeKind.LEFT_ALONE))
        case Timer.JOIN:
            transition.lose_voice("timeout")
        case Timer.RECOVER:
            transition.connect()
    return out.Done()


def _track_ended(transition: Transition, event: ev.TrackEnded) -> out.Outcome:
    """Go on to the next song; or continue at the same frame after a lost voice or a transient read error."""
    state = transition.state
    if event.play_id != state.play_id or not state.streaming:
        return out.Ignored()
    state.streaming = False
    state.next_frame = max(event.next_frame, 0)
    if event.finished and event.next_frame == 0:
        transition.fail("media_corrupt")  # a song without frames would repeat without end under a loop
    elif event.finished:
        state.failures = 0
        transition.advance(forced=False)
    elif event.reason == ev.INTERRUPTED:
        transition.lose_voice(event.reason)
    elif _is_transient(event.reason) and state.next_frame - state.start_frame >= _PROGRESS_FRAMES:
        transition.proceed()
    else:
        transition.fail(event.reason)
    return out.Done()


def _message_kept(transition: Transition, event: ev.MessageKept) -> out.Outcome:
    """Note which message shows the player."""
    transition.state.message_id = event.message_id
    return out.Done()


def _is_transient(code: str) -> bool:
    """Whether reading may succeed again soon. `source_truncated` was retried already, by the frame store."""
    return error_for_code(code).retryable and code != SourceTruncated.code


_STEPS: dict[type[Any], Callable[[Transition, Any], out.Outcome]] = {
    ev.Enqueue: command_steps.enqueue,
    ev.Ready: command_steps.ready,
    ev.Dropped: command_steps.dropped,
    ev.Skip: command_steps.skip,
    ev.Stop: command_steps.stop,
    ev.Pause: command_steps.pause,
    ev.Resume: command_steps.resume,
    ev.Seek: command_steps.seek,
    ev.Remove: command_steps.remove,
    ev.Move: command_steps.move,
    ev.Shuffle: command_steps.shuffle,
    ev.SetLoop: command_steps.set_loop,
    ev.Previous: command_steps.previous,
    ev.Clear: command_steps.clear,
    ev.Jump: command_steps.jump,
    ev.SetRules: command_steps.set_rules,
    ev.Restore: command_steps.restore,
    ev.JoinWaits: _join_waits,
    ev.VoiceReady: _voice_ready,
    ev.VoiceLost: _voice_lost,
    ev.VoiceMoved: _voice_moved,
    ev.Silenced: _silenced,
    ev.ListenersLeft: _listeners_left,
    ev.Listeners: _listeners,
    ev.Elapsed: _elapsed,
    ev.TrackEnded: _track_ended,
    ev.MessageKept: _message_kept,
}
