"""The entry of the `butakero` command: loads the commands, which takes most of a second, and runs one."""

from __future__ import annotations

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit.

    Python's own handler of Ctrl-C raises wherever an import happens to be, which prints a traceback. Until the commands
    are loaded there is nothing to clean up, so the signal ends the process as the system does.
    """
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from butakero.commands import run  # noqa: PLC0415 - see above

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
