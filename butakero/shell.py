"""The context of every command: the settings, the language, and the two consoles."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from audio_service.settings import AudioSettings
from butakero.screen import open_screen
from butakero.texts import say
from common.errors import Locale, Text
from common.observability.telemetry import configure_logging
from common.settings import load_locale, load_or_exit

ENV_FILE = Path(".env")
_NOISY_LIBRARIES = ("aiokafka",)
"""Libraries that log an error and raise it too; the exception becomes the command's one line."""


@dataclass(frozen=True, slots=True)
class Shell:
    """`out` is for results, `err` for errors and notices."""

    settings: AudioSettings
    out: Console
    err: Console

    @property
    def locale(self) -> Locale:
        """The language that LOCALE chooses."""
        return self.settings.locale

    def say(self, text: Text, /, **values: object) -> str:
        """Return a sentence in the user's language."""
        return say(text, self.locale, **values)


def open_shell(*, http_port: int | None = None) -> Shell:
    """Read the settings, or print what is wrong with them and exit with 78. `http_port` overrides HTTP_PORT."""
    settings = load_or_exit(AudioSettings, ENV_FILE)
    if http_port is not None:
        settings = settings.model_copy(update={"http_port": http_port})
    # The adapters' logs would mix with a command's output; only errors are shown.
    configure_logging("error", "console", sys.stderr)
    for library in _NOISY_LIBRARIES:
        logging.getLogger(library).setLevel(logging.CRITICAL)
    return Shell(settings, open_screen(), open_screen(stderr=True))


def user_locale() -> Locale:
    """Return LOCALE, also where other settings are wrong: for commands that need no other setting."""
    return load_locale(ENV_FILE)


def typed(argument: str) -> str:
    """Return an argument of the command line without the white space around it.

    Bytes that are no UTF-8 come from a terminal with an older encoding, and are read as Windows-1252.
    """
    given = os.fsencode(argument)
    try:
        return given.decode().strip()
    except UnicodeDecodeError:
        return given.decode("cp1252", errors="replace").strip()
