"""What the process that starts a service hands over to it, as arguments: `butakero up` does so, Compose does not.

- `--stop-at-stdin-end`: standard input is a pipe that only the parent holds open. Its end means that the parent has
  ended in any way, `kill -9` included, and the service stops as after SIGTERM.
- `--listener FD`: a socket that listens already. The port was the parent's from the moment it was found free, so no
  other program can answer in the service's place.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Launch:
    """`lifeline` is the descriptor whose end stops the program, `listener` that of a listening socket."""

    lifeline: int | None = None
    listener: int | None = None

    def arguments(self) -> list[str]:
        """Return the arguments that `read_launch` reads."""
        lifeline = [] if self.lifeline is None else ["--stop-at-stdin-end"]
        return lifeline if self.listener is None else [*lifeline, "--listener", str(self.listener)]


def read_launch(arguments: Sequence[str] | None = None) -> Launch:
    """Read the arguments of this process; unknown ones are ignored."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--stop-at-stdin-end", action="store_true")
    parser.add_argument("--listener", type=int)
    found, _ = parser.parse_known_args(arguments)
    return Launch(sys.stdin.fileno() if found.stop_at_stdin_end else None, found.listener)


def listen_on(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def inherited_listener(descriptor: int) -> socket.socket:
    """Return the socket that the parent has handed over; child processes of this one do not get it."""
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - a positional-only parameter
    return socket.socket(fileno=descriptor)
