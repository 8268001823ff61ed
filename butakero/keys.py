"""`butakero keys`: creates, lists and revokes the API keys in API_KEYS_FILE. A key is shown once, when it is created;
the file has its hash. A running service applies every change from its next request on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from audio_service.access.key_file import change_keys, read_keys
from audio_service.access.keys import MAX_KEYS, ApiKey, KeyList, new_key
from audio_service.access.scopes import Scope
from butakero.layout import print_table
from butakero.screen import plain
from butakero.shell import Shell
from butakero.texts import (
    KEY_CREATED,
    KEY_EXPIRES,
    KEY_IS,
    KEY_NAME,
    KEY_NEVER,
    KEY_REVOKED,
    KEY_SCOPES,
    KEY_STATES,
    KEY_UNKNOWN,
    KEYS_EMPTY,
    KEYS_FULL,
    KEYS_NO_FILE,
    STATUS,
)

EXIT_ERROR = 1
EXIT_USAGE = 2
MAX_NAME = 60


class _Full(Exception):
    """The file has MAX_KEYS keys."""


def run_create(shell: Shell, file: Path | None, name: str, scopes: Sequence[Scope], days: int) -> int:
    """Create a key and print it, alone, to stdout; its id goes to stderr. 0 days: it does not expire."""
    path = file or shell.settings.api_keys_file
    if path is None:
        return _no_file(shell)
    now = datetime.now(UTC).replace(microsecond=0)
    made = new_key(name, scopes, now=now, expires_at=now + timedelta(days=days) if days else None)

    def add(kept: KeyList) -> KeyList:
        if len(kept.keys) >= MAX_KEYS:
            raise _Full
        return KeyList(keys=(*kept.keys, made.kept))

    try:
        change_keys(path, add)
    except _Full:
        shell.err.print(shell.say(KEYS_FULL, most=MAX_KEYS), style="red")
        return EXIT_ERROR
    shell.out.file.write(f"{made.text}\n")
    shell.err.print(shell.say(KEY_IS, id=made.kept.id, path=plain(str(path))))
    return 0


def run_list(shell: Shell, file: Path | None) -> int:
    """Print the stored fields of every key, oldest first."""
    path = file or shell.settings.api_keys_file
    if path is None:
        return _no_file(shell)
    keys = read_keys(path).keys
    if not keys:
        shell.out.print(shell.say(KEYS_EMPTY, path=plain(str(path))))
        return 0
    headings = ["ID", *(shell.say(text) for text in (KEY_NAME, KEY_SCOPES, KEY_CREATED, KEY_EXPIRES, STATUS))]
    print_table(shell.out, headings, [_row(shell, key) for key in keys], flexible=1)
    return 0


def run_revoke(shell: Shell, file: Path | None, key_id: str) -> int:
    """Revoke a key permanently. It stays in the list; idempotent."""
    path = file or shell.settings.api_keys_file
    if path is None:
        return _no_file(shell)
    now = datetime.now(UTC).replace(microsecond=0)

    def revoke(kept: KeyList) -> KeyList:
        return KeyList(
            keys=tuple(
                key.model_copy(update={"revoked_at": key.revoked_at or now}) if key.id == key_id else key
                for key in kept.keys
            )
        )

    if all(key.id != key_id for key in read_keys(path).keys):
        shell.err.print(shell.say(KEY_UNKNOWN, id=plain(key_id), path=plain(str(path))), style="red")
        return EXIT_ERROR
    change_keys(path, revoke)
    shell.out.print(shell.say(KEY_REVOKED, id=key_id))
    return 0


def _row(shell: Shell, key: ApiKey) -> list[str]:
    state = key.refusal(datetime.now(UTC)) or "valid"
    return [
        key.id,
        plain(key.name),
        " ".join(key.scopes),
        _day(key.created_at),
        _day(key.expires_at) if key.expires_at else shell.say(KEY_NEVER),
        shell.say(KEY_STATES[state]),
    ]


def _day(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _no_file(shell: Shell) -> int:
    shell.err.print(shell.say(KEYS_NO_FILE), style="red")
    return EXIT_USAGE
