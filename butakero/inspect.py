"""`butakero inspect`: reads one DCA file to its end and shows its format, its origin, and whether it is complete."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from rich.console import Console

from audio_service.media.model import human_size
from butakero.layout import print_facts
from butakero.result import describe_encoding
from butakero.screen import clock, plain
from butakero.texts import (
    BITRATE,
    CHANNELS,
    DAMAGE,
    DAMAGE_AT,
    DAMAGED,
    DURATION,
    FORMAT,
    FRAMES,
    MADE,
    NO_DAMAGE,
    NOT_DCA,
    ORIGIN,
    SIZE,
    TITLE,
    TOOL,
    UNREADABLE,
    say,
)
from common.dca import DcaError, DcaReader, Scan, scan
from common.errors import Locale, Text

EXIT_DAMAGED = 1
EXIT_NOT_DCA = 2
_TOC_STEREO = 0x04  # RFC 6716 section 3.1


@dataclass(frozen=True, slots=True)
class _Inspected:
    scan: Scan
    channels: int
    size: int
    sha256: str


def run_inspect(path: Path, locale: Locale, out: Console, err: Console) -> int:
    """Print what the file is. Returns the exit code: 0 whole, 1 damaged, 2 not a DCA file or unreadable."""

    def refuse(text: Text, reason: str) -> int:
        err.print(say(text, locale, path=plain(str(path)), reason=reason), style="red")
        return EXIT_NOT_DCA

    try:
        with path.open("rb") as file:
            found = _inspect(file)
    except OSError as exc:
        return refuse(UNREADABLE, exc.strerror or type(exc).__name__)
    except DcaError as exc:
        return refuse(NOT_DCA, plain(str(exc)))
    print_facts(out, _facts(found, locale))
    damage = found.scan.damage
    if damage is None:
        return 0
    words = say(DAMAGED, locale, reason=plain(str(damage)), frames=found.scan.frames)
    err.print(f"{plain(str(path))}: {words}", style="red")
    return EXIT_DAMAGED


def _inspect(file: BufferedReader) -> _Inspected:
    """Read the file three times: its frames, its first packet, its bytes. Raises DcaError, OSError."""
    scanned = scan(file)
    file.seek(0)
    channels = scanned.metadata.opus.channels if scanned.metadata else _channels(DcaReader(file))
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256")
    return _Inspected(scanned, channels, file.tell(), digest.hexdigest())


def _channels(reader: DcaReader) -> int:
    """Return the channels in the first packet's TOC byte: DCA0 stores them nowhere else.

    Raises:
        DcaError: no frame is valid. DCA0 has no magic number, so such a file is not DCA0.
    """
    first = next(iter(reader))
    return 2 if first[0] & _TOC_STEREO else 1


def _facts(found: _Inspected, locale: Locale) -> list[tuple[str, str]]:
    metadata = found.scan.metadata
    facts = [(say(FORMAT, locale), found.scan.version)]
    if metadata is not None:
        tool = " ".join(part for part in (metadata.tool.name, metadata.tool.version) if part)
        origin = metadata.origin
        source = " ".join(part for part in (origin.source, origin.encoding, origin.url) if part)
        made = describe_encoding(locale, str(metadata.extra.get("mode", "")), str(metadata.extra.get("reason", "")))
        named = [(TITLE, metadata.title), (MADE, made), (ORIGIN, source), (TOOL, tool)]
        facts += [(say(label, locale), plain(value)) for label, value in named if value]
    duration_ms = found.scan.duration_ms
    kbps = found.scan.packet_bytes * 8 / duration_ms if duration_ms else 0.0
    return [
        *facts,
        (say(DURATION, locale), clock(duration_ms)),
        (say(FRAMES, locale), f"{found.scan.frames} x 20 ms"),
        (say(BITRATE, locale), f"{kbps:.1f} kbps"),
        (say(CHANNELS, locale), str(found.channels)),
        (say(SIZE, locale), f"{human_size(found.size)} ({found.size} B)"),
        ("SHA-256", found.sha256),
        (say(DAMAGE, locale), _damage(found.scan.damage, locale)),
    ]


def _damage(damage: DcaError | None, locale: Locale) -> str:
    return say(NO_DAMAGE, locale) if damage is None else say(DAMAGE_AT, locale, offset=damage.offset)
