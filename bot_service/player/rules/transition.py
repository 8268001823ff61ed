"""The operations that every transition consists of. Pure: an operation changes the state and emits effects.

Every retry is bounded: a failed song goes into the history in any loop mode, MAX_FAILURES in a row park the player, and
a lost voice is reconnected for a bounded number of attempts in a bounded time.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bot_service.player.rules.model import Entry, LoopMode, Phase, Silence, Timer
from bot_service.player.rules.outcomes import (
    Arm,
    AskToSpeak,
    Disarm,
    Effect,
    Halt,
    Hold,
    Join,
    Leave,
    Notice,
    NoticeKind,
    Play,
    Prefetch,
    Proceed,
    Remember,
)
from bot_service.player.rules.state import PlayerState
from bot_service.store.base import Track

JOIN_SECONDS = 30.0
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0)
MAX_FAILURES = 3
# A voice that lasted this long and sent this much was healthy: its loss is a new fault with a full set of attempts.
_STEADY = timedelta(seconds=10)
_STEADY_FRAMES = 100
# Whether the bot becomes a speaker is known in a moment.
_MAY_SPEAK_SOON = frozenset({Silence.AUDIENCE, Silence.INVITED})
_REMOVED = {"kicked": NoticeKind.KICKED, "channel_deleted": NoticeKind.CHANNEL_DELETED}


class Transition:
    """One step of one player: its state, the present time, and the effects emitted so far."""

    def __init__(self, state: PlayerState, now: datetime) -> None:
        self.state = state
        self.now = now
        self.effects: list[Effect] = []

    def emit(self, effect: Effect) -> None:
        """Add an effect."""
        self.effects.append(effect)

    # Songs.

    def start(self, entry: Entry, *, frame: int = 0, held: bool = False) -> None:
        """Make this the current song; play it now, or once there is a voice."""
        state = self.state
        self.halt()
        state.current, state.next_frame, state.held = entry, frame, held
        state.resume_point = None
        state.votes.clear()
        if state.voice_ready or state.phase is Phase.RECOVERING:
            self.proceed()
        else:
            self.connect()

    def proceed(self) -> None:
        """Play (or hold) the current song at its next frame; no-op without a voice."""
        state = self.state
        if not state.voice_ready:
            return
        if state.held or state.silenced is not None:
            state.phase = Phase.PAUSED
            self.tell_silence()
        else:
            state.phase = Phase.PLAYING
            self.play()

    def unpause(self) -> None:
        """Go on with a song that was paused."""
        state = self.state
        if state.phase is Phase.PAUSED and state.streaming:
            state.phase = Phase.PLAYING
            self.emit(Proceed())
        else:
            self.proceed()

    def silence(self, reason: Silence | None) -> None:
        """Pause the song while the bot is not heard; go on with it when it is, unless a user paused it."""
        state = self.state
        state.silenced, state.silence_told = reason, False
        if reason is None:
            if state.phase is Phase.PAUSED and not state.held:
                self.unpause()
            return
        if reason in _MAY_SPEAK_SOON:
            self.emit(AskToSpeak())
        if state.phase is Phase.PLAYING:
            state.phase = Phase.PAUSED
            self.emit(Hold())
        self.tell_silence()

    def tell_silence(self) -> None:
        """Say, once for each reason and queue, why a song does not play."""
        state = self.state
        if state.silenced is None or state.silenced in _MAY_SPEAK_SOON or state.silence_told:
            return
        if state.phase is Phase.PAUSED:
            state.silence_told = True
            self.emit(Notice(NoticeKind.SILENCED, state.current, state.silenced))

    def play(self) -> None:
        """Start a playback of the current song at its next frame; replaces the one under way."""
        state = self.state
        entry = state.current
        if entry is None:
            return
        state.play_id += 1
        state.streaming = True
        state.start_frame = state.next_frame
        state.prefetched = None  # consumed by this playback
        self.emit(Play(state.play_id, entry, state.next_frame))
        if state.next_frame == 0 and not _is_unfinished(entry):
            self.emit(Remember(entry))

    def replace_track(self, track: Track) -> None:
        """Set the track of the current song, finished or not; a playback under way continues."""
        state = self.state
        if state.current is None:
            return
        begun_unfinished = (state.streaming or state.next_frame > 0) and _is_unfinished(state.current)
        state.current = replace(state.current, track=track)
        if begun_unfinished and not track.unfinished:
            self.emit(Remember(state.current))

    def discard_current(self) -> None:
        """Drop the current song, without history, and go on to the next."""
        self.halt()
        held = self.state.held
        self._clear_current()
        self.advance(forced=True, held=held)

    def halt(self) -> None:
        """End the playback; no-op if there is none."""
        if self.state.streaming:
            self.state.streaming = False
            self.emit(Halt())

    def advance(self, *, forced: bool, held: bool = False) -> None:
        """Go on to the next song that is ready, or become idle."""
        state = self.state
        self.halt()
        state.parked = False
        entry = state.queue.take_next(state.current, forced=forced)
        if entry is not None:
            kept = state.resume_point
            self.start(entry, frame=kept[1] if kept and kept[0] == entry.entry_id else 0, held=held)
            return
        self._clear_current()
        state.silence_told = False
        if state.phase is Phase.RECOVERING:
            self._reset_voice()  # nothing left to recover for
        state.phase = Phase.CONNECTING if state.joining and not state.voice_ready else Phase.IDLE

    def fail(self, code: str) -> None:
        """Fail the current song with a notice and go on to the next; park after MAX_FAILURES in a row."""
        state = self.state
        entry, held = state.current, state.held
        if entry is None:
            return
        self.halt()
        state.queue.archive(entry)
        self._clear_current()
        self.emit(Notice(NoticeKind.SONG_FAILED, entry, code))
        state.failures += 1
        if state.failures >= MAX_FAILURES and state.queue.entries:
            self.emit(Notice(NoticeKind.TOO_MANY_FAILURES, code=code))
            state.parked = True
            state.phase = Phase.IDLE
        else:
            self.advance(forced=True, held=held)

    # The voice.

    def connect(self, channel_id: int | None = None) -> None:
        """Join the channel (another one, if given); no-op if that join is under way."""
        state = self.state
        target = channel_id if channel_id is not None else state.voice_channel_id
        if target is None or (state.joining and target == state.voice_channel_id):
            return
        state.voice_channel_id = target
        state.joining, state.waiting_since = True, None
        if not state.voice_ready and state.phase is not Phase.RECOVERING:
            state.phase = Phase.CONNECTING
        self.emit(Join(target))

    def lose_voice(self, reason: str) -> None:
        """Start or continue the recovery of the voice, if a song or `stay` needs it."""
        state = self.state
        backing_off = state.phase is Phase.RECOVERING and not state.joining
        self.halt()
        steady = self._was_steady()
        state.voice_ready = state.joining = False
        state.silenced = None
        if state.current is None and not state.queue.entries and not state.rules.stay:
            self._reset_voice()
            state.phase = Phase.IDLE
            return
        if backing_off:
            return
        if state.phase is not Phase.RECOVERING and (steady or state.recovering_since is None):
            state.attempts = 0
            state.recovering_since = self.now
        state.phase = Phase.RECOVERING
        if self._attempts_exhausted():
            self.give_up(reason)
        else:
            state.attempts += 1

    def give_up(self, reason: str) -> None:
        """End the recovery: clear everything if the bot was removed, otherwise keep the queue and park."""
        kind = _REMOVED.get(reason)
        if kind is not None:
            self.emit(Notice(kind, self.state.current, reason))
            self.clear()
            return
        state = self.state
        self.halt()
        entry, frame = state.current, state.next_frame
        self._clear_current()
        if entry is not None:
            state.queue.put_front(entry)
            state.resume_point = (entry.entry_id, frame)
        self._reset_voice()
        state.phase = Phase.IDLE
        state.parked = True
        self.emit(Notice(NoticeKind.VOICE_FAILED, entry, reason))

    def clear(self) -> int:
        """Reset to an empty player, except for its history, and leave. Returns the number of entries removed."""
        state = self.state
        count = state.queue.clear() + (state.current is not None)
        if state.current is not None:
            state.queue.archive(state.current)
        self.halt()
        self._clear_current()
        self._reset_voice()
        state.voice_channel_id = None
        state.queue.loop = LoopMode.OFF
        state.resume_point = None
        state.parked = False
        state.failures = 0
        state.phase = Phase.IDLE
        return count

    # The end of every step.

    def settle(self) -> None:
        """Emit the effects that bring timers and prefetching in line with the state."""
        state = self.state
        wanted = self._timers()
        for timer in sorted(state.armed - wanted.keys()):
            self.emit(Disarm(timer))
        for timer in sorted(wanted.keys() - state.armed):
            self.emit(Arm(timer, wanted[timer]))
        state.armed = set(wanted)
        track = self._track_to_prefetch()
        if track != state.prefetched:
            state.prefetched = track
            self.emit(Prefetch(track))

    def _timers(self) -> dict[Timer, float]:
        state, limits = self.state, self.state.limits
        waiting = any(entry.track is None for entry in state.queue.entries)
        idle = state.phase is Phase.IDLE and state.voice_ready and not state.joining and not waiting
        wanted: dict[Timer, float] = {}
        if idle and not state.rules.stay:
            wanted[Timer.IDLE] = limits.idle_seconds
        if state.voice_ready and state.listeners == 0 and not state.rules.stay:
            wanted[Timer.ALONE] = limits.alone_seconds
        if state.joining and state.waiting_since is None:
            wanted[Timer.JOIN] = JOIN_SECONDS
        elif state.joining:
            pass  # its turn may come in minutes
        elif state.phase is Phase.RECOVERING:
            wanted[Timer.RECOVER] = BACKOFF_SECONDS[state.attempts - 1]
        return wanted

    def _track_to_prefetch(self) -> Track | None:
        """The track to prefetch: the current song's until it plays, then the next song's."""
        state = self.state
        if state.current is None:
            return None
        if state.streaming or state.phase is Phase.PAUSED:
            following = state.queue.peek_next(state.current)
            return following.track if following is not None else None
        return state.current.track if state.next_frame == 0 else None

    def _clear_current(self) -> None:
        state = self.state
        state.current, state.start_frame, state.next_frame, state.held = None, 0, 0, False
        state.votes.clear()

    def _reset_voice(self) -> None:
        state = self.state
        state.voice_ready = state.joining = False
        state.listeners = state.silenced = None
        state.attempts = 0
        state.recovering_since = state.ready_since = None
        self.emit(Leave())

    def _was_steady(self) -> bool:
        state = self.state
        if state.ready_since is None or self.now - state.ready_since < _STEADY:
            return False
        return state.phase is not Phase.PLAYING or state.next_frame - state.start_frame >= _STEADY_FRAMES

    def _attempts_exhausted(self) -> bool:
        state = self.state
        since = state.recovering_since or self.now
        spent = (self.now - since).total_seconds()
        return state.attempts >= len(BACKOFF_SECONDS) or spent >= state.limits.voice_reconnect_seconds


def _is_unfinished(entry: Entry) -> bool:
    return entry.track is not None and entry.track.unfinished
