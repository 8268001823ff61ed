"""The embedded broker's retention: which messages are dropped, when a topic is at its limit or by age.

- A message that every group has finished is dropped at once (`drop_finished`).
- A publish into a full topic first drops messages that some group has finished and only *absent* groups have not: a bot
  that was removed must not block the others. Messages that no group has finished stay, and the publish is refused.
  Dead letters are the exception: they have no waiting group, and a rejection must not fail, so the oldest are dropped.
- A group that was not seen for `max_age` is removed. Messages that no group is waiting for are dropped at that age.

Messages dropped before their group has finished them are logged, with their number.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import cast

from common.broker.embedded.file import transaction, translated
from common.errors import QueueFull
from common.observability.telemetry import get_logger

log = get_logger(__name__)

MAX_AGE_SECONDS = 7 * 24 * 3600.0  # the default of Kafka's log.retention.hours and offsets.retention.minutes
ABSENT_SECONDS = 300.0

_ROOM = 0.1  # of the limit is freed at a time, so that a full topic is not trimmed at every publish
_VACUUM_PAGES = 2000


@dataclass(frozen=True, slots=True)
class BacklogLimits:
    """Limits of each topic: retained messages, retained bytes (keys, headers and values), and age in seconds."""

    max_messages: int
    max_bytes: int
    max_age: float = MAX_AGE_SECONDS


def drop_finished(connection: sqlite3.Connection, message_id: int) -> None:
    """Drop the message unless a group has leased it, has deferred it, or has not reached it yet."""
    connection.execute(
        "DELETE FROM messages WHERE id = ?"
        " AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message_id = messages.id)"
        " AND NOT EXISTS (SELECT 1 FROM consumer_groups g"
        "  WHERE g.topic_id = messages.topic_id AND g.cursor <= messages.log_offset)",
        (message_id,),
    )


def make_room(  # noqa: PLR0913 - the topic, its limits, the message's size, the time, and whether to refuse
    connection: sqlite3.Connection, topic: str, size: int, limits: BacklogLimits, *, now: float, may_refuse: bool
) -> None:
    """Drop messages until one more of `size` bytes fits into `topic`.

    Raises:
        QueueFull: the topic is at its limit and nothing of it may be dropped. Only if `may_refuse`.
    """
    row: tuple[int, int, int] = connection.execute(
        "SELECT id, retained, bytes FROM topics WHERE name = ?", (topic,)
    ).fetchone()
    topic_id, retained, held = row
    if retained < limits.max_messages and held + size <= limits.max_bytes:
        return
    end = _droppable_end(connection, topic_id, now) if may_refuse else None
    floor, dropped, freed = _oldest(
        connection,
        topic_id,
        end,
        count=retained - int(limits.max_messages * (1 - _ROOM)),
        size=held + size - int(limits.max_bytes * (1 - _ROOM)),
    )
    fits = retained - dropped < limits.max_messages and held - freed + size <= limits.max_bytes
    if may_refuse and not fits:
        raise QueueFull(f"{topic}: {retained} messages, {held} bytes are waiting")
    _drop_below(connection, topic_id, floor)
    log.warning("broker.trimmed", topic=topic, messages=dropped, bytes=freed)


def sweep(connection: sqlite3.Connection, limits: BacklogLimits, *, now: float) -> None:
    """Remove groups and messages older than `max_age`, and give free pages back to the file system."""
    oldest = now - limits.max_age
    with translated():
        with transaction(connection):
            _remove_absent_groups(connection, oldest)
            topics: list[tuple[int, str]] = connection.execute("SELECT id, name FROM topics").fetchall()
            for topic_id, topic in topics:
                _drop_expired(connection, topic_id, topic, oldest)
        # It frees one page per step, and `execute` runs only one step of a statement without columns.
        connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")


def _droppable_end(connection: sqlite3.Connection, topic_id: int, now: float) -> int:
    """Return the offset below which some group has finished everything, and so has every present group."""
    rows: list[tuple[float, int]] = connection.execute(
        "SELECT seen_at, min(cursor, coalesce((SELECT min(m.log_offset) FROM deliveries d"
        " JOIN messages m ON m.id = d.message_id WHERE d.group_id = g.id), cursor))"
        " FROM consumer_groups g WHERE topic_id = ?",
        (topic_id,),
    ).fetchall()
    if not rows:
        return 0
    ahead = max(first for _, first in rows)
    return min([ahead, *(first for seen_at, first in rows if seen_at >= now - ABSENT_SECONDS)])


def _oldest(
    connection: sqlite3.Connection, topic_id: int, end: int | None, *, count: int, size: int
) -> tuple[int, int, int]:
    """Choose the oldest messages below `end`, until there are `count` of them and `size` bytes.

    Returns:
        The offset to drop below, the number of messages and their bytes; fewer than asked for if `end` is reached.
    """
    floor, chosen, freed = 0, 0, 0
    rows = connection.execute(
        "SELECT log_offset, size FROM messages WHERE topic_id = ? AND (? IS NULL OR log_offset < ?)"
        " ORDER BY log_offset",
        (topic_id, end, end),
    )
    while (chosen < count or freed < size) and (row := cast("tuple[int, int] | None", rows.fetchone())):
        floor, chosen, freed = row[0] + 1, chosen + 1, freed + row[1]
    rows.close()
    return floor, chosen, freed


def _drop_below(connection: sqlite3.Connection, topic_id: int, floor: int) -> None:
    connection.execute(
        "DELETE FROM deliveries WHERE message_id IN (SELECT id FROM messages WHERE topic_id = ? AND log_offset < ?)",
        (topic_id, floor),
    )
    connection.execute("DELETE FROM messages WHERE topic_id = ? AND log_offset < ?", (topic_id, floor))
    connection.execute(
        "UPDATE consumer_groups SET cursor = max(cursor, ?) WHERE topic_id = ? AND cursor < ?", (floor, topic_id, floor)
    )


def _remove_absent_groups(connection: sqlite3.Connection, oldest: float) -> None:
    rows: list[tuple[int, str, str]] = connection.execute(
        "SELECT g.id, t.name, g.name FROM consumer_groups g JOIN topics t ON t.id = g.topic_id WHERE g.seen_at < ?",
        (oldest,),
    ).fetchall()
    for group_id, topic, group in rows:
        _remove_group(connection, group_id)
        log.warning("broker.group_forgotten", topic=topic, group=group)


def forget_group(connection: sqlite3.Connection, topic: str, group: str) -> None:
    """Remove a group; messages that only it had not finished are dropped by the next `sweep`."""
    with translated(), transaction(connection):
        row: tuple[int] | None = connection.execute(
            "SELECT g.id FROM consumer_groups g JOIN topics t ON t.id = g.topic_id WHERE t.name = ? AND g.name = ?",
            (topic, group),
        ).fetchone()
        if row is not None:
            _remove_group(connection, row[0])


def _remove_group(connection: sqlite3.Connection, group_id: int) -> None:
    connection.execute("DELETE FROM deliveries WHERE group_id = ?", (group_id,))
    connection.execute("DELETE FROM consumer_groups WHERE id = ?", (group_id,))


def _drop_expired(connection: sqlite3.Connection, topic_id: int, topic: str, oldest: float) -> None:
    row: tuple[int | None, int | None] = connection.execute(
        "SELECT min(started), min(cursor) FROM consumer_groups WHERE topic_id = ?", (topic_id,)
    ).fetchone()
    started, cursor = row
    # Published before any present group began, so no group will finish them: they are dropped by age alone.
    expired = connection.execute(
        "DELETE FROM messages WHERE topic_id = ? AND published_at < ? AND (? IS NULL OR log_offset < ?)"
        " AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message_id = messages.id)",
        (topic_id, oldest, started, started),
    ).rowcount
    if expired:
        log.warning("broker.expired", topic=topic, messages=expired)
    # Mostly none: messages that only the groups removed just now had not finished.
    connection.execute(
        "DELETE FROM messages WHERE topic_id = ? AND log_offset >= ? AND log_offset < ?"
        " AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message_id = messages.id)",
        (topic_id, started, cursor),
    )
