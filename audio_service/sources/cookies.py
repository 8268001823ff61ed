"""The cookies of COOKIES_YOUTUBE, read again when their file changes.

They are an account's credentials: nothing here logs, raises or returns text of the file, except to the cookie jar.
yt-dlp's own reader is not used because it writes lines that it cannot parse to stderr. The file is never written.
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
    """A cookie file that may appear, change and disappear. `path` None: no cookies."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._version: _Version | None = None
        self._cookies: list[Cookie] = []

    def current(self) -> list[Cookie]:
        """Return the file's cookies as of now; while it is unreadable, those of the last good read."""
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
        # ctime, not mtime: a chmod can make the file readable without changing its content.
        version = (found.st_ino, found.st_ctime_ns)
        if version == self._version:
            return
        # The version is read before the content: a write in between makes the next job read again.
        self._version = version
        self._cookies = read_cookies(path)


def read_cookies(path: Path) -> list[Cookie]:
    """Read a Netscape cookie file; lines of another shape are skipped.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not text, too large, or has lines and no cookie; see `why_unusable`.
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
    """Describe what `read_cookies` raised, without text of the file."""
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
        # 0 or empty: a session cookie.
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
