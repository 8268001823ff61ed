"""What yt-dlp puts off until it is first needed, done before: a child's first extraction is then like its later ones.

yt-dlp knows some 1,800 sites. It compiles the patterns of their addresses, imports their modules and compiles what it
looks for in a page when the first address is no well-known site's: a second of CPU that somebody waits for.
Here it is done site by site, so that whoever has something better to do can do that between two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from yt_dlp.extractor import gen_extractor_classes

_NOWHERE = "https://nowhere.invalid/"
_END = object()


def get_warm(ydl: Any) -> Iterator[None]:  # noqa: ANN401 - a YoutubeDL; the library is untyped
    """Yield after each site that is ready. YouTube is the first; no network is used."""
    sites: list[Any] = gen_extractor_classes()
    for site in sites:
        try:
            site.suitable(_NOWHERE)
            list(site.extract_from_webpage(ydl, _NOWHERE, ""))
        except Exception:  # noqa: BLE001, S110 - whoever asks this site will be told; nobody does here
            pass
        yield


def work_while(idle: Callable[[], bool], steps: Iterator[None]) -> None:
    """Take steps as long as `idle` says so and there are any."""
    while idle() and next(steps, _END) is not _END:
        pass
