"""How many connections an HTTP server holds, and which it gives up: silent ones cost descriptors that songs need.

A third of the process's descriptors at most are connections, and half of them listeners (WebSocket, server-sent
events), which `listener_limit` bounds. Beyond that the connection that has been idle the longest
is closed for a new one, so that silent sockets keep no client out; when all of them are being answered, the new one is
refused.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

HEAD_SECONDS = 10.0
"""How long a request may take to arrive, counted from the connection or from its first byte on a used connection."""
KEEP_ALIVE_SECONDS = 5
MAX_CONNECTIONS = 4096
MAX_LISTENERS = 20_000
"""Connections that are kept open to be told of changes; they are not among MAX_CONNECTIONS."""
_SHARE = 3
_LISTENERS_SHARE = 2
_LEAST = 8


class Connection(Protocol):
    """What the set of connections knows of one."""

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered on it."""
        ...

    def close(self) -> None:
        """Close it without waiting for its other end."""
        ...


@dataclass(frozen=True, slots=True)
class ConnectionMetrics:
    """How many there are, and how many were given up."""

    opened: Gauge
    closed: Counter

    @classmethod
    def on(cls, registry: CollectorRegistry) -> ConnectionMetrics:
        """Create the metrics on `registry`."""
        closed = Counter(
            "butakero_http_connections_closed",
            "HTTP connections that the server gave up, by reason.",
            ["reason"],
            registry=registry,
        )
        for reason in ("head_timeout", "idle", "limit"):
            closed.labels(reason)
        return cls(Gauge("butakero_http_connections", "Open HTTP connections.", registry=registry), closed)


class Connections:
    """The open connections of one or several servers of a process, the longest unused first."""

    def __init__(self, registry: CollectorRegistry | None = None, *, limit: int | None = None) -> None:
        self.limit = _limit() if limit is None else limit
        self._open: dict[Connection, None] = {}
        self._metrics = ConnectionMetrics.on(registry or CollectorRegistry())

    def admit(self, connection: Connection) -> bool:
        """Add a connection, if necessary in place of the one that is idle the longest. False: there is no room."""
        if len(self._open) >= self.limit:
            idle = next((other for other in self._open if other.is_idle), None)
            self._metrics.closed.labels("limit").inc()
            if idle is None:
                return False
            self.remove(idle)
            idle.close()
        self._open[connection] = None
        self._metrics.opened.set(len(self._open))
        return True

    def touch(self, connection: Connection) -> None:
        """Note that the connection is used."""
        if connection in self._open:
            del self._open[connection]
            self._open[connection] = None

    def count_closed(self, reason: str) -> None:
        """Count a connection that the server closes."""
        self._metrics.closed.labels(reason).inc()

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._open.pop(connection, None)
        self._metrics.opened.set(len(self._open))


def listener_limit() -> int:
    """Return how many connections may be kept open to be told of changes: half of the descriptors at most."""
    return _share(MAX_LISTENERS, _LISTENERS_SHARE)


def _limit() -> int:
    return _share(MAX_CONNECTIONS, _SHARE)


def _share(most: int, share: int) -> int:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return most
    return max(_LEAST, min(most, descriptors // share))
