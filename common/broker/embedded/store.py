"""The embedded broker's rules, as blocking calls on one SQLite connection: append, claim, settle, renew.

Refuses to wait, to wake consumers and to know about asyncio: that is `common.broker.embedded.broker`. Each method is
one transaction, so a call is carried out completely or not at all, even if its caller was cancelled.

A group costs one cursor row plus one row for each message that it has leased or deferred; a message that every group
has finished is deleted at once, so the file is as large as the unfinished work.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from common.broker.base import MAX_MESSAGE_BYTES, Message, dead_letter_topic, encodable
from common.broker.embedded.file import transaction, translated
from common.broker.embedded.retention import BacklogLimits, drop_finished, make_room
from common.errors import MessageTooLarge

Start = Literal["earliest", "latest"]

_MAX_ERROR_CHARACTERS = 2000
_FILE_SUFFIXES = ("", "-wal", "-shm")
_CLOCK_STEP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class LeasedMessage:
    """A message leased to one owner. `token` is a fencing token, new for every lease: a stale one settles nothing."""

    message: Message
    attempt: int
    token: str
    message_id: int
    group_id: int


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """A message, or the Unix time at which the next one is due (None: claim again when woken)."""

    message: LeasedMessage | None
    due_at: float | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    id: int
    topic_id: int
    cursor: int


class EmbeddedStore:
    """The broker's file, as one process uses it. Every method blocks and raises BrokerUnavailable when SQLite fails."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        limits: BacklogLimits,
        *,
        lease_seconds: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.connection = connection
        self.limits = limits
        self.lease_seconds = lease_seconds
        self.now = now

    def publish(self, topic: str, key: str, value: bytes, headers: Mapping[str, str]) -> None:
        """Append durably. Raises MessageTooLarge, QueueFull, BrokerUnavailable."""
        key, headers = encodable(key, headers)
        size = len(value) + sum(len(name.encode()) + len(text.encode()) for name, text in headers.items())
        if size > MAX_MESSAGE_BYTES:
            raise MessageTooLarge(f"{topic}: {size} bytes, at most {MAX_MESSAGE_BYTES} are taken")
        with translated(), transaction(self.connection, durable=True):
            self._append(topic, key, value, headers, may_refuse=True)

    def join(self, topic: str, group: str, start: Start) -> None:
        """Create the group unless it exists. "earliest" is the oldest retained message, "latest" the next one."""
        with translated(), transaction(self.connection):
            self._join(topic, group, start)

    def claim(self, topic: str, group: str, start: Start, owner: str) -> ClaimResult:
        """Lease the next due message of the group to `owner`, for `lease_seconds`."""
        with translated():
            # Reading takes no lock, so that many idle consumers that are woken at once do not queue for it.
            found = self._find_group(topic, group)
            if found is not None and not self._has_work(found):
                return ClaimResult(None, self._next_due(found.id))
            with transaction(self.connection):
                joined = self._join(topic, group, start)
                leased = self._claim_due(joined, topic, owner) or self._claim_new(joined, topic, owner)
            return ClaimResult(leased, None if leased else self._next_due(joined.id))

    def finish(self, leased: LeasedMessage) -> bool:
        """Never deliver it to this group again. Returns False, and changes nothing, if the lease was lost."""
        with translated(), transaction(self.connection):
            return self._finish(leased)

    def defer(self, leased: LeasedMessage, delay: float, attempt: int) -> bool:
        """Deliver it again after `delay` seconds as `attempt`. Returns as `finish`."""
        now = self.now()
        with translated(), transaction(self.connection):
            cursor = self.connection.execute(
                "UPDATE deliveries SET token = NULL, owner = NULL, attempt = ?, since = ?, due_at = ?"
                " WHERE message_id = ? AND group_id = ? AND token = ?",
                (attempt, now, now + delay, leased.message_id, leased.group_id, leased.token),
            )
            return cursor.rowcount == 1

    def reject(self, leased: LeasedMessage, error_code: str, error_message: str) -> bool:
        """Append to the dead-letter topic and finish, in one transaction. Returns as `finish`."""
        message = leased.message
        partition, _, offset = message.position.partition(":")
        headers = {
            **message.headers,
            "error_code": error_code,
            "error_message": error_message[:_MAX_ERROR_CHARACTERS],
            "origin_topic": message.topic,
            "origin_partition": partition,
            "origin_offset": offset,
            "attempt": str(leased.attempt),
        }
        with translated(), transaction(self.connection):
            if not self._finish(leased):
                return False
            topic = dead_letter_topic(message.topic)
            self._append(topic, message.key, message.value, headers, may_refuse=False)
            return True

    def release(self, topic: str, group: str, owner: str) -> None:
        """Deliver everything that is leased to `owner` again at once, with the same attempt."""
        now = self.now()
        with translated(), transaction(self.connection):
            self._touch(((topic, group),), now)
            self.connection.execute(
                "UPDATE deliveries SET token = NULL, owner = NULL, since = ?, due_at = ? WHERE owner = ?",
                (now, now, owner),
            )

    def renew(self, owners: Iterable[str]) -> None:
        """Extend the leases of `owners` to `lease_seconds` from now."""
        now = self.now()
        with translated(), transaction(self.connection):
            self.connection.executemany(
                "UPDATE deliveries SET since = ?, due_at = ? WHERE owner = ?",
                [(now, now + self.lease_seconds, owner) for owner in owners],
            )

    def touch(self, groups: Iterable[tuple[str, str]]) -> None:
        """Mark these (topic, group) pairs as seen now, so that retention counts them as present.

        Rows whose `since` is in the future were written before the wall clock was set back. Their lease or delay is
        restarted from now; otherwise it would last longer by the step of the clock.
        """
        now = self.now()
        with translated(), transaction(self.connection):
            self._touch(groups, now)
            self.connection.execute(
                "UPDATE deliveries SET due_at = ? + (due_at - since), since = ? WHERE since > ?",
                (now, now, now + _CLOCK_STEP_SECONDS),
            )

    def peek(self, topic: str, limit: int) -> list[Message]:
        """Return up to `limit` retained messages, oldest first."""
        with translated():
            rows: list[tuple[int, str, str, bytes]] = self.connection.execute(
                "SELECT log_offset, key, headers, value FROM messages"
                " WHERE topic_id = (SELECT id FROM topics WHERE name = ?) ORDER BY log_offset LIMIT ?",
                (topic, limit),
            ).fetchall()
        return [_message(topic, *row) for row in rows]

    def lag(self, topic: str, group: str) -> int:
        """Count the messages that the group has not finished; all retained ones for a group that does not exist."""
        with translated():
            found = self._find_group(topic, group)
            row: tuple[int] = self.connection.execute(
                "SELECT (SELECT count(*) FROM messages WHERE log_offset >= ?"
                " AND topic_id = (SELECT id FROM topics WHERE name = ?))"
                " + (SELECT count(*) FROM deliveries WHERE group_id = ?)",
                (found.cursor if found else 0, topic, found.id if found else None),
            ).fetchone()
        return row[0]

    def oldest_age(self, topic: str, group: str) -> float:
        """Return the seconds since the oldest message that `lag` counts was published, 0 without one."""
        with translated():
            found = self._find_group(topic, group)
            row: tuple[float | None] = self.connection.execute(
                # The first that was not handed out is the oldest of those: one look into the index of offsets.
                "SELECT min(published_at) FROM (SELECT published_at FROM (SELECT published_at FROM messages WHERE"
                " topic_id = (SELECT id FROM topics WHERE name = ?) AND log_offset >= ? ORDER BY log_offset LIMIT 1)"
                " UNION ALL SELECT m.published_at FROM deliveries d JOIN messages m ON m.id = d.message_id"
                " WHERE d.group_id = ?)",
                (topic, found.cursor if found else 0, found.id if found else None),
            ).fetchone()
        return max(0.0, self.now() - row[0]) if row[0] is not None else 0.0

    def describe(self, path: Path) -> dict[str, Any]:
        """Return the health answer's metadata, after taking and releasing the write lock.

        Per topic: `retained` messages and their `bytes`, the number of `groups`, and the `lag` of the group that is
        furthest behind. `file_bytes` counts the database at `path` with its journal.

        Raises:
            BrokerUnavailable: the file cannot be read, or not be locked for writing.
        """
        with translated(), transaction(self.connection):
            rows: list[tuple[str, int, int, int, int]] = self.connection.execute(
                "SELECT t.name, t.retained, t.bytes, count(g.id), coalesce(max(t.next_offset - g.cursor"
                "  + (SELECT count(*) FROM deliveries d WHERE d.group_id = g.id)), 0)"
                " FROM topics t LEFT JOIN consumer_groups g ON g.topic_id = t.id GROUP BY t.id ORDER BY t.name"
            ).fetchall()
        return {
            "topics": {
                name: {"retained": retained, "bytes": size, "groups": groups, "lag": lag}
                for name, retained, size, groups, lag in rows
            },
            "file_bytes": sum(_size(path.with_name(path.name + suffix)) for suffix in _FILE_SUFFIXES),
        }

    def _append(self, topic: str, key: str, value: bytes, headers: Mapping[str, str], *, may_refuse: bool) -> None:
        self.connection.execute("INSERT INTO topics (name) VALUES (?) ON CONFLICT DO NOTHING", (topic,))
        text = json.dumps(dict(headers), ensure_ascii=False)
        size = len(key.encode()) + len(text.encode()) + len(value)
        make_room(self.connection, topic, size, self.limits, now=self.now(), may_refuse=may_refuse)
        self.connection.execute(
            "INSERT INTO messages (topic_id, log_offset, published_at, key, headers, size, value)"
            " SELECT id, next_offset, ?, ?, ?, ?, ? FROM topics WHERE name = ?",
            (self.now(), key, text, size, value, topic),
        )

    def _join(self, topic: str, group: str, start: Start) -> _Group:
        found = self._find_group(topic, group)
        if found is not None:
            return found
        self.connection.execute("INSERT INTO topics (name) VALUES (?) ON CONFLICT DO NOTHING", (topic,))
        self.connection.execute(
            "INSERT INTO consumer_groups (topic_id, name, started, cursor, seen_at)"
            " SELECT id, ?, begin, begin, ? FROM (SELECT id, coalesce("
            "  (SELECT min(log_offset) FROM messages m WHERE m.topic_id = topics.id AND ?), next_offset) AS begin"
            " FROM topics WHERE name = ?)",
            (group, self.now(), start == "earliest", topic),
        )
        return cast("_Group", self._find_group(topic, group))

    def _find_group(self, topic: str, group: str) -> _Group | None:
        row: tuple[int, int, int] | None = self.connection.execute(
            "SELECT g.id, g.topic_id, g.cursor FROM consumer_groups g JOIN topics t ON t.id = g.topic_id"
            " WHERE t.name = ? AND g.name = ?",
            (topic, group),
        ).fetchone()
        return _Group(*row) if row else None

    def _has_work(self, group: _Group) -> bool:
        row: tuple[int] = self.connection.execute(
            "SELECT EXISTS (SELECT 1 FROM deliveries WHERE group_id = ? AND due_at <= ?)"
            " OR EXISTS (SELECT 1 FROM messages WHERE topic_id = ? AND log_offset >= ?)",
            (group.id, self.now(), group.topic_id, group.cursor),
        ).fetchone()
        return bool(row[0])

    def _next_due(self, group_id: int) -> float | None:
        row: tuple[float | None] = self.connection.execute(
            "SELECT min(due_at) FROM deliveries WHERE group_id = ?", (group_id,)
        ).fetchone()
        return row[0]

    def _claim_due(self, group: _Group, topic: str, owner: str) -> LeasedMessage | None:
        now = self.now()
        row: tuple[int, int, int, str, str, bytes] | None = self.connection.execute(
            # An expired lease counts as an attempt; a deferred message has the number of its next attempt already.
            "SELECT d.message_id, d.attempt + (d.token IS NOT NULL), m.log_offset, m.key, m.headers, m.value"
            " FROM deliveries d JOIN messages m ON m.id = d.message_id"
            " WHERE d.group_id = ? AND d.due_at <= ? ORDER BY d.due_at LIMIT 1",
            (group.id, now),
        ).fetchone()
        if row is None:
            return None
        leased = LeasedMessage(_message(topic, *row[2:]), row[1], uuid.uuid4().hex, row[0], group.id)
        self.connection.execute(
            "UPDATE deliveries SET attempt = ?, token = ?, owner = ?, since = ?, due_at = ?"
            " WHERE message_id = ? AND group_id = ?",
            (leased.attempt, leased.token, owner, now, now + self.lease_seconds, leased.message_id, group.id),
        )
        return leased

    def _claim_new(self, group: _Group, topic: str, owner: str) -> LeasedMessage | None:
        now = self.now()
        row: tuple[int, int, str, str, bytes] | None = self.connection.execute(
            "SELECT id, log_offset, key, headers, value FROM messages"
            " WHERE topic_id = ? AND log_offset >= ? ORDER BY log_offset LIMIT 1",
            (group.topic_id, group.cursor),
        ).fetchone()
        if row is None:
            return None
        leased = LeasedMessage(_message(topic, *row[1:]), 1, uuid.uuid4().hex, row[0], group.id)
        self.connection.execute(
            "INSERT INTO deliveries (message_id, group_id, attempt, token, owner, since, due_at)"
            " VALUES (?, ?, 1, ?, ?, ?, ?)",
            (leased.message_id, group.id, leased.token, owner, now, now + self.lease_seconds),
        )
        self.connection.execute("UPDATE consumer_groups SET cursor = ? WHERE id = ?", (row[1] + 1, group.id))
        return leased

    def _finish(self, leased: LeasedMessage) -> bool:
        cursor = self.connection.execute(
            "DELETE FROM deliveries WHERE message_id = ? AND group_id = ? AND token = ?",
            (leased.message_id, leased.group_id, leased.token),
        )
        if cursor.rowcount != 1:
            return False
        drop_finished(self.connection, leased.message_id)
        return True

    def _touch(self, groups: Iterable[tuple[str, str]], now: float) -> None:
        self.connection.executemany(
            "UPDATE consumer_groups SET seen_at = ?"
            " WHERE name = ? AND topic_id = (SELECT id FROM topics WHERE name = ?)",
            [(now, group, topic) for topic, group in groups],
        )


def _message(topic: str, log_offset: int, key: str, headers: str, value: bytes) -> Message:
    return Message(topic, key, value, cast("dict[str, str]", json.loads(headers)), f"0:{log_offset}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
