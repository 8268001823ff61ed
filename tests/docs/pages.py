"""What the tests read out of the documents: fenced commands with their shown output, code spans, shapes of output."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = tuple(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "bench/*.md", ".github/*.md")
    for path in sorted(ROOT.glob(pattern))
)

# Blocks of other kinds hold no commands.
_COMMAND_BLOCKS = {"sh", "console"}
_OTHER_BLOCKS = {"text", "ini", "json"}
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`((?:[^`\n]|\n(?!\n))+)`(?!`)")
_PROGRAM = re.compile(
    r"(?:[A-Z_]+=\S* )*"
    r"(?:make|docker|kubectl|helm|kind|curl|bash|cp|apt|pip|butakero|python3?|\.venv/bin/\S+|scripts/\S+|\.ci/run)"
    r"(?= [^=]|$)"
)

# What differs from run to run, and what it looks like.
_VARYING = (
    (r"…", r".*?"),
    (r"bk_[0-9a-f]+_[\w-]+", r"bk_[0-9a-f]+_[\\w-]+"),
    (r"web-[0-9a-f]+", r"web-[0-9a-f]+"),
    (r"\b[0-9a-f]{8}\b", r"[0-9a-f]{8}"),
    (r"\d+(?:\.\d+)?", r"\\d+(?:\\.\\d+)?"),
    (r"\s+", r"\\s+"),
)


@dataclass(frozen=True, slots=True)
class Command:
    """A line to type. `shown`: the output below it; "" where the text shows none."""

    text: str
    shown: str = ""


def read(page: str) -> str:
    return (ROOT / page).read_text()


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Yield kind and content of each fenced block."""
    for match in _FENCE.finditer(read(page)):
        indent = match[1]
        yield match[2], "".join(line.removeprefix(indent) for line in match[3].splitlines(keepends=True))


def kinds_of_blocks(page: str) -> set[str]:
    """Return kinds that are not known; an unknown one could hide a command."""
    return {kind for kind, _ in blocks(page)} - _COMMAND_BLOCKS - _OTHER_BLOCKS


def fenced_commands(page: str) -> Iterator[Command]:
    """Yield the commands of the fenced blocks, in the order of the text."""
    for kind, content in blocks(page):
        if kind == "console":
            for part in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
                text, _, shown = part.partition("\n")
                yield Command(_without_comment(text), shown.strip())
        elif kind in _COMMAND_BLOCKS:
            yield from (Command(_without_comment(line)) for line in content.splitlines() if line.strip())


def mentioned_commands(page: str) -> list[str]:
    """Return the code spans that begin with a program's name."""
    return [span for span in spans(page) if _PROGRAM.match(span)]


def spans(page: str) -> list[str]:
    """Return all code spans outside of blocks."""
    return [re.sub(r"\s*\n\s*", " ", span) for span in _SPAN.findall(_FENCE.sub("", read(page)))]


def _without_comment(line: str) -> str:
    return re.sub(r"\s+# .*$", "", line).strip()


def shape(shown: str) -> re.Pattern[str]:
    """Return a pattern for output like what is shown: with other numbers, ids and spacing, and anything for `…`."""
    parts = re.split("(" + "|".join(pattern for pattern, _ in _VARYING) + ")", shown.strip())
    return re.compile("".join(_pattern_of(part) for part in parts if part), re.DOTALL)


def _pattern_of(part: str) -> str:
    for pattern, replacement in _VARYING:
        if re.fullmatch(pattern, part):
            # Around an ellipsis that stands alone in its line there need not be anything.
            return re.sub(pattern, replacement, part) if part.strip() or "\n" not in part else r"\s*"
    return re.escape(part)
