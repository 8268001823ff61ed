"""A shell for the commands, in a temporary directory, with consoles that capture their output."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from audio_service.settings import AudioSettings
from butakero.shell import Shell


@dataclass(frozen=True, slots=True)
class CapturedShell:
    shell: Shell
    out: Callable[[], str]
    err: Callable[[], str]


def console() -> tuple[Console, Callable[[], str]]:
    text = io.StringIO()
    return Console(file=text, markup=False, highlight=False, emoji=False, width=100, soft_wrap=True), text.getvalue


@pytest.fixture
def captured(tmp_path: Path) -> CapturedShell:
    settings = AudioSettings(
        embedded_broker_path=tmp_path / "broker.db",
        sqlite_path=tmp_path / "library.db",
        local_storage_path=tmp_path / "storage",
        locale="en",
    )
    out, said = console()
    err, complained = console()
    return CapturedShell(Shell(settings, out, err), said, complained)
