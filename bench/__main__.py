"""`python -m bench [--full] [SUITE …]`: run benchmarks, print the table, write bench/results/."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bench import api, audio, children, library, voice
from bench.table import Row, show

RESULTS = Path(__file__).parent / "results" / "last.json"


def main() -> int:
    """Return 0; a missed target is printed, and is no failure: machines differ."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--full",
        action="store_true",
        help="the slow rows too (two hours of transcoding, a million records, 100 streams)",
    )
    parser.add_argument(
        "suites", nargs="*", choices=["audio", "children", "api", "library", "voice", []], help="default: all of them"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="butakero-bench-") as name:
        directory = Path(name)
        suites: dict[str, Callable[[], Iterable[Row]]] = {
            "audio": lambda: audio.rows(directory, full=arguments.full),
            "children": lambda: children.rows(directory),
            "api": api.rows,
            "library": lambda: library.rows(directory, full=arguments.full),
            "voice": lambda: voice.rows(directory, full=arguments.full),
        }

        def rows() -> Iterator[Row]:
            for suite in arguments.suites or suites:
                yield from suites[suite]()

        show("ButakeroMusicBot, side by side", rows(), RESULTS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
