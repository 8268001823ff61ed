"""Upcoming and past songs of a guild. Pure: knows neither Discord nor time.

An entry is in one place at a time: upcoming, current (held by the caller), or history. Entries leave only by `remove`,
`drop`, `clear`, or the history's limit. Songs that are being fetched keep their places and are skipped until ready.
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
    """The order of songs. Positions are 1-based.

    `entries` are upcoming; `history` is newest first; `fair`: round-robin by requester for new entries.
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
        """Number of upcoming entries, including those being fetched."""
        return len(self.entries)

    def add(self, entries: Sequence[Entry], *, front: bool = False) -> int:
        """Append entries, insert them in front, or (`fair`) each in its requester's next turn.

        Returns:
            The position of the first of them, 1-based; for no entries, the position that a next one would have.
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
        """Insert an entry in front."""
        self.entries.insert(0, entry)

    def resolve(self, entry_id: str, track: Track) -> bool:
        """Set the track of an upcoming entry. False if there is none of that id (it was removed)."""
        for index, entry in enumerate(self.entries):
            if entry.entry_id == entry_id:
                self.entries[index] = replace(entry, track=track)
                return True
        return False

    def update_history(self, entry_id: str, track: Track) -> bool:
        """Set the track of a past entry. False if there is none of that id."""
        for index, entry in enumerate(self.history):
            if entry.entry_id == entry_id:
                self.history[index] = replace(entry, track=track)
                return True
        return False

    def drop(self, entry_id: str) -> Entry | None:
        """Remove an entry by id, upcoming or past. None if there is none."""
        for entries in (self.entries, self.history):
            for index, entry in enumerate(entries):
                if entry.entry_id == entry_id:
                    return entries.pop(index)
        return None

    def remove(self, position: int) -> Entry:
        """Remove the entry at a position.

        Raises:
            NoSuchPosition: out of range.
        """
        return self.entries.pop(self._index(position))

    def move(self, source: int, target: int) -> Entry:
        """Move an entry to position `target`.

        Raises:
            NoSuchPosition: one of the two is out of range.
        """
        start, end = self._index(source), self._index(target)
        entry = self.entries.pop(start)
        self.entries.insert(end, entry)
        return entry

    def shuffle(self, random: Random) -> None:
        """Shuffle the upcoming entries."""
        random.shuffle(self.entries)

    def clear(self) -> int:
        """Remove all upcoming entries; return their number."""
        count = len(self.entries)
        self.entries.clear()
        return count

    def jump(self, current: Entry | None, position: int) -> Entry:
        """Remove and return the entry at a position, to be played next.

        `current` and the ready songs before the entry count as played: they go to the history, or under loop `queue` to
        the back. Entries that are being fetched keep their places.

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
        """Return what `take_next` will return when the current song ends, without a change."""
        if self.loop is LoopMode.TRACK and current is not None:
            return current
        ready = next((entry for entry in self.entries if entry.track is not None), None)
        return ready or (current if self.loop is LoopMode.QUEUE else None)

    def take_next(self, current: Entry | None, *, forced: bool) -> Entry | None:
        """Retire the current song; remove and return the next one that is ready, or None.

        Under loop `track` the current song is returned again, unless `forced` (a skip).
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
        """Remove and return the previous song; the current one goes to the front. None, without a change, if none.

        Under loop `queue` the songs are a ring: the last ready one precedes the first.
        """
        found = self._pop_last_ready() if self.loop is LoopMode.QUEUE else None
        if found is None and self.history:
            found = self.history.pop(0)
        if found is not None and current is not None:
            self.put_front(current)
        return found

    def retire(self, entry: Entry) -> None:
        """Move an ended song to the back (loop `queue`) or into the history."""
        if self.loop is LoopMode.QUEUE:
            self.entries.append(entry)
        else:
            self.archive(entry)

    def archive(self, entry: Entry) -> None:
        """Move a song into the history in any loop mode: a failed one must not repeat."""
        self.history.insert(0, entry)
        del self.history[HISTORY_LIMIT:]

    def _pop_last_ready(self) -> Entry | None:
        for index in range(len(self.entries) - 1, -1, -1):
            if self.entries[index].track is not None:
                return self.entries.pop(index)
        return None

    def _fair_index(self, requester_id: int) -> int:
        """Index of a requester's next song: at the end of its round, after the requester's other songs."""
        own = [index for index, entry in enumerate(self.entries) if entry.requester_id == requester_id]
        own_round = len(own) + 1
        seen: Counter[int] = Counter()
        for index, entry in enumerate(self.entries):
            seen[entry.requester_id] += 1
            if seen[entry.requester_id] > own_round and index > (own[-1] if own else -1):
                return index
        return len(self.entries)

    def _index(self, position: int) -> int:
        if not 1 <= position <= len(self.entries):
            raise NoSuchPosition
        return position - 1
