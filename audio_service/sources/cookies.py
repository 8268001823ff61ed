"""Cookies that an operator lends to the sources (COOKIES_YOUTUBE), read again when their file changes.

They are somebody's account: nothing here logs, raises or answers what is in the file. That is why it is not yt-dlp
that reads it (its reader writes a line that it cannot understand to stderr), and why the file is never written.
Format: Netscape's cookies.txt as curl documents it, https://curl.se/docs/http-cookies.html
"""

from __future__ import annotations

import logging
from http.cookiejar import Cookie
from pathlib import Path

_FIELDS = 7
_HTTP_ONLY = "#HttpOnly_"
_MAX_BYTES = 1024 * 1024
_Version = tuple[int, int]
log = logging.getLogger(__name__)


class CookieFile:
    """A cookie file that may come, change and go. `path` None: there is none and never will be."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._version: _Version | None = None
        self._cookies: list[Cookie] = []

    def current(self) -> list[Cookie]:
        """Return what the file holds now; while it cannot be read, what it held before."""
        if self._path is not None:
            try:
                self._refresh(self._path)
            except (OSError, ValueError) as exc:
                log.warning("COOKIES_YOUTUBE cannot be used: %s", why_unusable(exc))
        return self._cookies

    def _refresh(self, path: Path) -> None:
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            self._version, self._cookies = None, []
            return
        # The change time: new rights make a file readable without touching what is in it.
        version = (found.st_ino, found.st_ctime_ns)
        if version == self._version:
            return
        # Looked at before it is read: what is written meanwhile is another version for the next job.
        self._version = version
        self._cookies = read_cookies(path)


def read_cookies(path: Path) -> list[Cookie]:
    """Read a Netscape cookie file; lines of another shape are skipped.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no text, too large, or has lines and no cookie; `why_unusable` says it without quoting.
    """
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError("larger than a cookie file can be")
    text = data.decode()
    cookies = [cookie for line in text.splitlines() if (cookie := _cookie(line)) is not None]
    if text.strip() and not cookies:
        raise ValueError("no cookie in Netscape's format")
    return cookies


def why_unusable(exc: OSError | ValueError) -> str:
    """Say what `read_cookies` raised, without a word of the file."""
    match exc:
        case OSError():
            return exc.strerror or type(exc).__name__
        case UnicodeDecodeError():
            return "not UTF-8 text"
        case _:
            return str(exc)


def _cookie(line: str) -> Cookie | None:
    line = line.removeprefix(_HTTP_ONLY)
    fields = line.split("\t")
    if line.startswith("#") or len(fields) != _FIELDS:
        return None
    domain, subdomains, path, secure, expires, name, value = fields
    try:
        # 0 and nothing are a session's cookie.
        until = int(float(expires or 0)) or None
    except (ValueError, OverflowError):
        return None
    return Cookie(
        version=0,
        name=name,
        value=value,
        port=None,
        port_specified=False,
        domain=domain,
        domain_specified=subdomains == "TRUE",
        domain_initial_dot=domain.startswith("."),
        path=path,
        path_specified=bool(path),
        secure=secure == "TRUE",
        expires=until,
        discard=until is None,
        comment=None,
        comment_url=None,
        rest={},
    )
