"""The real child program in a world whose names lead where `HOSTS` says: the first answer once, the last for ever."""

from __future__ import annotations

import socket
from typing import Any

from audio_service import child_main

HOSTS = {
    "inside.test": ["127.0.0.1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "metadata.test": ["169.254.169.254"],
    "moving.test": ["127.0.0.1", "127.0.0.2"],
}


def look_up(host: str, port: int, *_: object, **__: object) -> list[tuple[Any, ...]]:
    """Answer as socket.getaddrinfo does."""
    answers = HOSTS.get(host, [host] if host[0].isdigit() else None)
    if answers is None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    address = answers.pop(0) if len(answers) > 1 else answers[0]
    if ":" in address:
        return [(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))]
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]


if __name__ == "__main__":
    socket.getaddrinfo = look_up
    child_main.main()
