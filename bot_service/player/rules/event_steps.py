"""What each event does to a player. Pure. An event that is out of date is ignored."""

from __future__ import annotations

from bot_service.player.rules import events as ev
from bot_service.player.rules import outcomes as out
from bot_service.player.rules.effects import Leave, Notice, NoticeKind
from bot_service.player.rules.phase import Phase
from bot_service.player.rules.turn import Turn
from common.errors import SourceTruncated, error_for_code

# A playback that got this far before its frames failed is worth another try at the same frame.
_PROGRESS_FRAMES = 50


def voice_ready(turn: Turn, event: ev.VoiceReady) -> out.Outcome:
    """Play what waits for the voice."""
    state = turn.state
    if not state.joining and state.phase is not Phase.RECOVERING:
        if not state.voice_ready:
            turn.do(Leave())  # somebody stopped the player while it was on its way
        return out.Ignored()
    moved = state.voice_ready
    state.joining, state.voice_ready = False, True
    state.voice_channel_id = event.channel_id
    state.ready_since = turn.now
    if moved and state.phase in {Phase.PLAYING, Phase.PAUSED}:
        return out.Done()
    if state.current is not None:
        turn.proceed()
    elif not state.parked:
        state.phase = Phase.IDLE
        turn.advance(forced=False)
    else:
        state.phase = Phase.IDLE
    return out.Done()


def voice_lost(turn: Turn, event: ev.VoiceLost) -> out.Outcome:
    """Try again, or give up where that is of no use."""
    if not turn.state.is_connected_or_trying:
        return out.Ignored()
    if event.may_retry:
        turn.lose_voice(event.cause)
    else:
        turn.give_up(event.cause)
    return out.Done()


def voice_moved(turn: Turn, event: ev.VoiceMoved) -> out.Outcome:
    """Go on in the channel to which somebody moved the bot."""
    state = turn.state
    if not state.is_connected_or_trying or state.voice_channel_id == event.channel_id:
        return out.Ignored()
    state.voice_channel_id = event.channel_id
    return out.Done()


def listeners_left(turn: Turn, event: ev.ListenersLeft) -> out.Outcome:
    """Follow the last listener, unless the bot is to stay where it is."""
    state = turn.state
    if state.rules.stay or not state.is_connected_or_trying or state.voice_channel_id == event.channel_id:
        return out.Ignored()
    state.listeners = None
    turn.connect(event.channel_id)
    return out.Done()


def listeners(turn: Turn, event: ev.Listeners) -> out.Outcome:
    """Note how many listen; being alone is timed when the step settles."""
    if not turn.state.is_connected_or_trying:
        return out.Ignored()
    turn.state.listeners = event.count
    return out.Done()


def elapsed(turn: Turn, event: ev.Elapsed) -> out.Outcome:
    """Do what is due, if the timer still counts."""
    state = turn.state
    if event.timer not in state.armed:
        return out.Ignored()
    state.armed.discard(event.timer)
    match event.timer:
        case ev.Timer.IDLE:
            turn.clear()
            turn.do(Notice(NoticeKind.LEFT_IDLE))
        case ev.Timer.ALONE:
            turn.clear()
            turn.do(Notice(NoticeKind.LEFT_ALONE))
        case ev.Timer.JOIN:
            turn.lose_voice("timeout")
        case ev.Timer.RECOVER:
            turn.connect()
    return out.Done()


def track_ended(turn: Turn, event: ev.TrackEnded) -> out.Outcome:
    """Go on to the next song; or at the same frame, where the voice went away or frames may be had again."""
    state = turn.state
    if event.play_id != state.play_id or not state.streaming:
        return out.Ignored()
    state.streaming = False
    state.next_frame = max(event.next_frame, 0)
    if event.finished and event.next_frame == 0:
        turn.fail("media_corrupt")  # a song without sound would come round without end under a loop
    elif event.finished:
        state.failures = 0
        turn.advance(forced=False)
    elif event.reason == ev.INTERRUPTED:
        turn.lose_voice(event.reason)
    elif _may_go_on(event.reason) and state.next_frame - state.start_frame >= _PROGRESS_FRAMES:
        turn.proceed()
    else:
        turn.fail(event.reason)
    return out.Done()


def message_kept(turn: Turn, event: ev.MessageKept) -> out.Outcome:
    """Note which message shows the player."""
    turn.state.message_id = event.message_id
    return out.Done()


def _may_go_on(code: str) -> bool:
    """Whether frames may be had again soon. Those of a song that was not made on were waited for already."""
    return error_for_code(code).retryable and code != SourceTruncated.code
