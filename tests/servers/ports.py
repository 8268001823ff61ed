"""Ports for servers that are told theirs from outside, and for nobody."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens, and which nobody else is given while this process lives.

    A socket stays bound to it and does not listen. A server that reuses addresses, as all of them do, gets the port
    all the same, and again after it was killed; who takes any port, or connects from one, does not.
    """
    placeholder = socket.socket()
    placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    placeholder.bind(("127.0.0.1", 0))
    port: int = placeholder.getsockname()[1]
    placeholder.detach()  # open until the process ends
    return port
