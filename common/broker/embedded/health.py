"""How the embedded broker's file is doing: its topics, who lags, how large it is."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from common.broker.embedded.file import transaction, translated

_JOURNAL_SUFFIXES = ("", "-wal", "-shm")


def describe(connection: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """Return the health answer's metadata, after having taken and left the write lock.

    Per topic: `retained` messages and their `bytes`, the number of `groups`, and the `lag` of the group that is
    furthest behind. `file_bytes` counts the database with its journal.

    Raises:
        BrokerUnavailable: the file cannot be read, or not be locked for writing.
    """
    with translated():
        with transaction(connection):
            rows: list[tuple[str, int, int, int, int]] = connection.execute(
                "SELECT t.name, t.retained, t.bytes, count(g.id), coalesce(max(t.next_offset - g.cursor"
                "  + (SELECT count(*) FROM deliveries d WHERE d.group_id = g.id)), 0)"
                " FROM topics t LEFT JOIN consumer_groups g ON g.topic_id = t.id GROUP BY t.id ORDER BY t.name"
            ).fetchall()
        files = [path.with_name(path.name + suffix) for suffix in _JOURNAL_SUFFIXES]
        return {
            "topics": {
                name: {"retained": retained, "bytes": size, "groups": groups, "lag": lag}
                for name, retained, size, groups, lag in rows
            },
            "file_bytes": sum(file.stat().st_size for file in files if file.exists()),
        }
