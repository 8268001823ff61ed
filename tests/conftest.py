"""What holds for every test."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Undo an ignored SIGINT, with which background runs start and which the programs under test would inherit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
