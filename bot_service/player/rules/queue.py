"""The songs that come next in a guild, and those that were. Pure: knows neither Discord nor time.

An entry is in one place at a time: upcoming, current (held by whoever took it), or history. Nothing leaves but by
`remove`, `drop`, `clear`, or off the end of a history of HISTORY_LIMIT.

Songs that are still being fetched keep their places and are passed over until they are ready.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from bot_service.player.rules.model import Entry, LoopMode
from bot_service.player.rules.outcomes import NoSuchPosition, PlayerRefusal, RefusalCode
from bot_service.store.base import Track

HISTORY_LIMIT = 50


class Queue:
    """The order of songs. Positions are 1-based, as people count.

    `entries` are upcoming; `history` is newest first; `fair` takes new entries in turns, one per requester.
    """

    def __init__(
        self,
        entries: Sequence[Entry] = (),
        history: Sequence[Entry] = (),
        *,
        loop: LoopMode = LoopMode.OFF,
        fair: bool = False,
    ) -> None:
        self.entries: list[Entry] = list(entries)
        self.history: list[Entry] = list(history[:HISTORY_LIMIT])
        self.loop = loop
        self.fair = fair

    def __len__(self) -> int:
        """Return how many songs come next, those still being fetched included."""
        return len(self.entries)

    def add(self, entries: Sequence[Entry], *, front: bool = False) -> int:
        """Put entries at the end, in front, or (`fair`) each into its requester's next turn.

        Returns:
            The position of the first of them, 1-based; where none was given, the one that the next would have.
        """
        if not entries:
            return 1 if front else len(self.entries) + 1
        if front:
            self.entries[:0] = entries
            return 1
        if not self.fair:
            self.entries.extend(entries)
            return len(self.entries) - len(entries) + 1
        for entry in entries:
            self.entries.insert(self._fair_index(entry.requester_id), entry)
        return self.entries.index(entries[0]) + 1

    def put_front(self, entry: Entry) -> None:
        """Put one entry in front of all others."""
        self.entries.insert(0, entry)

    def resolve(self, entry_id: str, track: Track) -> bool:
        """Give an upcoming entry its track; its place stays. False when there is no such entry (it was removed)."""
        for index, entry in enumerate(self.entries):
            if entry.entry_id == entry_id:
                self.entries[index] = replace(entry, track=track)
                return True
        return False

    def amend(self, entry_id: str, track: Track) -> bool:
        """Give an entry of the history the track that it has become. False when there is no such entry."""
        for index, entry in enumerate(self.history):
            if entry.entry_id == entry_id:
                self.history[index] = replace(entry, track=track)
                return True
        return False

    def drop(self, entry_id: str) -> Entry | None:
        """Take an entry out by its id, upcoming or past. None when it is not there (any more)."""
        for entries in (self.entries, self.history):
            for index, entry in enumerate(entries):
                if entry.entry_id == entry_id:
                    return entries.pop(index)
        return None

    def remove(self, position: int) -> Entry:
        """Take out what is at a position.

        Raises:
            NoSuchPosition: there is nothing.
        """
        return self.entries.pop(self._index(position))

    def move(self, source: int, target: int) -> Entry:
        """Move an entry so that it has position `target` afterwards.

        Raises:
            NoSuchPosition: one of the two is none.
        """
        start, end = self._index(source), self._index(target)
        entry = self.entries.pop(start)
        self.entries.insert(end, entry)
        return entry

    def shuffle(self, random: Random) -> None:
        """Bring what comes next into a random order."""
        random.shuffle(self.entries)

    def clear(self) -> int:
        """Take everything out that comes next; return how many that were."""
        count = len(self.entries)
        self.entries.clear()
        return count

    def jump(self, current: Entry | None, position: int) -> Entry:
        """Go on from a position: take its entry out and return it.

        The ready songs before it count as passed, in order after `current`: into history, or to the back under loop
        `queue`. Those still being fetched keep their places.

        Raises:
            NoSuchPosition: there is nothing.
            PlayerRefusal: still_fetching, it has no track yet.
        """
        target = self.entries[self._index(position)]
        if target.track is None:
            raise PlayerRefusal(RefusalCode.STILL_FETCHING)
        before = self.entries[: position - 1]
        passed = [entry for entry in before if entry.track is not None]
        waiting = [entry for entry in before if entry.track is None]
        self.entries = waiting + self.entries[position:]
        for entry in ([current] if current is not None else []) + passed:
            self.retire(entry)
        return target

    def peek_next(self, current: Entry | None) -> Entry | None:
        """Return what `take_next` would give when the current song ends by itself, changing nothing."""
        if self.loop is LoopMode.TRACK and current is not None:
            return current
        ready = next((entry for entry in self.entries if entry.track is not None), None)
        return ready or (current if self.loop is LoopMode.QUEUE else None)

    def take_next(self, current: Entry | None, *, forced: bool) -> Entry | None:
        """Retire the current song and take out the next one that is ready.

        Under loop `track` the current song comes again, unless `forced` (somebody skipped it). None: nothing is ready.
        """
        if current is not None:
            if self.loop is LoopMode.TRACK and not forced:
                return current
            self.retire(current)
        for index, entry in enumerate(self.entries):
            if entry.track is not None:
                return self.entries.pop(index)
        return None

    def take_previous(self, current: Entry | None) -> Entry | None:
        """Take out the song before the current one, which goes to the front of the queue.

        Under loop `queue` the songs are a ring: before the first comes the last that is ready. None: there is none, and
        nothing was changed.
        """
        found = self._pop_last_ready() if self.loop is LoopMode.QUEUE else None
        if found is None and self.history:
            found = self.history.pop(0)
        if found is not None and current is not None:
            self.put_front(current)
        return found

    def retire(self, entry: Entry) -> None:
        """Put a song that is over to the back (loop `queue`), or into history."""
        if self.loop is LoopMode.QUEUE:
            self.entries.append(entry)
        else:
            self.archive(entry)

    def archive(self, entry: Entry) -> None:
        """Put a song into history whatever the loop says: one that failed must not come round again by itself."""
        self.history.insert(0, entry)
        del self.history[HISTORY_LIMIT:]

    def _pop_last_ready(self) -> Entry | None:
        for index in range(len(self.entries) - 1, -1, -1):
            if self.entries[index].track is not None:
                return self.entries.pop(index)
        return None

    def _fair_index(self, requester_id: int) -> int:
        """Find the place of a requester's next song: at the end of the round it belongs to, after their own others."""
        own = [index for index, entry in enumerate(self.entries) if entry.requester_id == requester_id]
        turn = len(own) + 1
        seen: Counter[int] = Counter()
        for index, entry in enumerate(self.entries):
            seen[entry.requester_id] += 1
            if seen[entry.requester_id] > turn and index > (own[-1] if own else -1):
                return index
        return len(self.entries)

    def _index(self, position: int) -> int:
        if not 1 <= position <= len(self.entries):
            raise NoSuchPosition
        return position - 1
