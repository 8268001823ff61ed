"""Shows why a service ended: the last lines of its log, and where the rest is."""

from __future__ import annotations

from butakero.screen import visible
from butakero.service import Service
from butakero.shell import Shell
from butakero.texts import LOGS_AT, SAID_NOTHING
from common.errors import Text


def show_last_log_lines(shell: Shell, service: Service, text: Text, **values: object) -> None:
    """Print `text`, then the log's last lines."""
    shell.err.print(shell.say(text, **values), style="red")
    for line in service.last_log_lines() or [shell.say(SAID_NOTHING)]:
        shell.err.print(f"  {visible(line)}", soft_wrap=True)
    shell.err.print(shell.say(LOGS_AT, path=service.log_path))
