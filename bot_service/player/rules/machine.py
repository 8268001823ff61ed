"""The one transition function of a guild's player. Pure: events in, changed state and effects out.

    idle ──Enqueue──▶ connecting ──VoiceReady──▶ playing ◀──Pause, Resume──▶ paused
      ▲                  │  ▲                      │                          │
      │              VoiceLost                 VoiceLost                  VoiceLost
      │                  ▼  │                      ▼                          ▼
      └──tries used up── recovering ──VoiceReady──▶ playing or paused, at the same frame

Stop, being sent away, being alone and being idle for too long lead to idle from everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from bot_service.player.rules import command_steps, event_steps
from bot_service.player.rules import events as ev
from bot_service.player.rules.effects import Effect, Refresh, Save
from bot_service.player.rules.outcomes import Ignored, Outcome, VoteCast
from bot_service.player.rules.state import PlayerState
from bot_service.player.rules.turn import Turn

_STEPS: dict[type[Any], Callable[[Turn, Any], Outcome]] = {
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
    ev.VoiceReady: event_steps.voice_ready,
    ev.VoiceLost: event_steps.voice_lost,
    ev.VoiceMoved: event_steps.voice_moved,
    ev.ListenersLeft: event_steps.listeners_left,
    ev.Listeners: event_steps.listeners,
    ev.Elapsed: event_steps.elapsed,
    ev.TrackEnded: event_steps.track_ended,
    ev.MessageKept: event_steps.message_kept,
}
_SHOW_NOTHING = (ev.Listeners, ev.MessageKept)


def step(state: PlayerState, event: ev.Event, now: datetime) -> tuple[Outcome, list[Effect]]:
    """Change the state as the event demands; return the outcome and what is to be done, in order.

    Raises:
        PlayerRefusal: the command makes no sense now. The state is as it was.
    """
    turn = Turn(state, now)
    outcome = _STEPS[type(event)](turn, event)
    turn.settle()
    if not isinstance(outcome, Ignored | VoteCast):
        turn.do(Save())
        if not isinstance(event, _SHOW_NOTHING):
            turn.do(Refresh())
    return outcome, turn.effects
