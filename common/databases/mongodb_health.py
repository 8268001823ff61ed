"""Health of the replica set, in the form of CONTRACTS.md. Without the role clusterMonitor some fields are null."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from common.databases.mongodb import Document, MisconfiguredDatabase, MongoConnection

NAME = "mongo_db"
_SECONDS = 1.5
_COUNTED = ("insert", "query", "update", "delete", "getmore", "command")


class HealthProbe:
    """Checks the server. It keeps the last counters: operations per second are those since the last check."""

    def __init__(self, connection: MongoConnection[Any]) -> None:
        self._connection = connection
        self._before: tuple[float, int] | None = None

    async def ask(self) -> Mapping[str, Any]:
        """Return `metadata.mongo` of the contract, within 1.5 s. Raises DatabaseUnavailable."""
        deadline = time.monotonic() + _SECONDS
        began = time.monotonic()
        await self._connection.command({"ping": 1}, deadline)
        latency_ms = round((time.monotonic() - began) * 1000, 3)
        hello = await self._connection.command({"hello": 1}, deadline)
        build = await self._connection.command({"buildInfo": 1}, deadline)
        return {
            "replica_set_status": _replica_set(hello, await self._permitted({"replSetGetStatus": 1}, deadline)),
            "version": build["version"],
            **self._load(await self._permitted({"serverStatus": 1}, deadline), latency_ms),
        }

    async def _permitted(self, command: Document, deadline: float) -> Document:
        """Return the response, or {} if the user has no right to the command."""
        try:
            return await self._connection.command(command, deadline)
        except MisconfiguredDatabase:
            return {}

    def _load(self, status: Document, latency_ms: float) -> Document:
        connections: Document = status.get("connections", {})
        return {
            "connections": {
                "active": connections.get("active"),
                "available": connections.get("available"),
                "current": connections.get("current"),
                # Servers before 6.3 have no such counter, because they never reject connections.
                "rejected": connections.get("rejected", 0 if connections else None),
            },
            "performance": {
                "latency_ms": latency_ms,
                "ops_per_sec": self._operations_a_second(status),
                "memory_usage_mb": status.get("mem", {}).get("resident"),
            },
        }

    def _operations_a_second(self, status: Document) -> int | None:
        if not status:
            return None
        counters: Document = status["opcounters"]
        now, total = float(status["uptimeMillis"]) / 1000, sum(int(counters.get(name, 0)) for name in _COUNTED)
        since, counted = self._before or (0.0, 0)
        if now <= since or total < counted:  # another server answered, or it was restarted
            since, counted = 0.0, 0
        self._before = (now, total)
        return round((total - counted) / max(now - since, 0.001))


def _replica_set(hello: Document, status: Document) -> dict[str, Any]:
    members: list[Document] = status.get("members", [])
    absent: Document = {}
    me = next((member for member in members if member.get("self")), absent)
    primary = next((member for member in members if member.get("stateStr") == "PRIMARY"), absent)
    return {
        "role": me.get("stateStr") or ("PRIMARY" if hello.get("isWritablePrimary") else "SECONDARY"),
        "health": int(me.get("health", 1)),
        "members": len(members) or len(hello.get("hosts", [])),
        "last_election": _timestamp(primary.get("electionDate")),
        "replica_set_id": hello.get("setName", ""),
        "sync_status": me.get("syncSourceHost", ""),
    }


def _timestamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
