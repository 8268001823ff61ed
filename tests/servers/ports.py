"""Free ports for servers that get theirs by a setting, and for addresses at which no server listens."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port of 127.0.0.1 on which no server listens, reserved for the life of this process.

    A socket stays bound to it without listening. A server that binds it with SO_REUSEADDR, as all of ours do, succeeds,
    also when it is restarted; the kernel does not choose it for a bind to port 0 or for an outgoing connection.
    """
    placeholder = socket.socket()
    placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    placeholder.bind(("127.0.0.1", 0))
    port: int = placeholder.getsockname()[1]
    placeholder.detach()  # open until the process ends
    return port
