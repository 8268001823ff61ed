"""Every regular expression of the product takes linear time: CPU time is counted over hostile strings of up to 16 KiB,
twice the longest header value that the API accepts.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.growth import superlinear_size

ROOT = Path(__file__).parents[2]
PACKAGES = ("common", "audio_service", "bot_service", "butakero")
# Where the flags stand among the arguments of each function of `re`.
FLAGS = {
    "compile": 1,
    "match": 2,
    "fullmatch": 2,
    "search": 2,
    "findall": 2,
    "finditer": 2,
    "split": 3,
    "sub": 4,
    "subn": 4,
}
ANCHORED = frozenset({"match", "fullmatch"})
SCANNING = frozenset(FLAGS) - ANCHORED - {"compile"}
UNITS = (
    " ",
    "\t",
    "0",
    "9",
    "a",
    "Z",
    "_",
    "-",
    ".",
    ",",
    ":",
    "/",
    "'",
    '"',
    '""',
    "a ",
    "0 ",
    "a.",
    "a-",
    "é",
    "\n",
    "\x00",
)
# One that may be the end of a match, and one that is not.
ENDS = ("", "\x00")
EXAMPLES = 3
CHARACTERS = 16


@dataclass(frozen=True)
class Use:
    """A pattern and where it is written; `methods` are those by which the project applies it."""

    where: str
    pattern: re.Pattern[Any]
    methods: frozenset[str]


def parsed() -> Iterator[tuple[Path, list[ast.AST]]]:
    """Return the nodes of every module. Each process that collects tests does this: a tree is walked once."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path, list(ast.walk(ast.parse(path.read_text())))


def function_of_re(node: ast.AST) -> str | None:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=name)) if name in FLAGS:
            return name
        case _:
            return None


def uses() -> Iterator[Use]:
    modules = list(parsed())
    calls = method_calls(modules)
    for path, nodes in modules:
        names = dict(pair for node in nodes for pair in assigned(node))
        for node in nodes:
            function = function_of_re(node)
            if function is None:
                continue
            assert isinstance(node, ast.Call)
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            where = f"{module}:{node.lineno}"
            pattern = evaluated(module, node, function, where)
            methods = {function} if function != "compile" else applied(names.get(node, ""), path, calls)
            yield Use(where, pattern, frozenset(methods))


def assigned(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield value, name
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield value, name
        case _:
            pass


def method_calls(modules: list[tuple[Path, list[ast.AST]]]) -> dict[str, set[tuple[Path, str]]]:
    """Where methods of a name are called, and which ones."""
    found: dict[str, set[tuple[Path, str]]] = {}
    for path, nodes in modules:
        for node in nodes:
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)):
                    found.setdefault(name, set()).add((path, method))
                case _:
                    pass
    return found


def applied(name: str, path: Path, calls: dict[str, set[tuple[Path, str]]]) -> set[str]:
    """The methods that are called on a pattern of that name; all where nothing tells."""
    found = {method for other, method in calls.get(name, ()) if other == path or not name.startswith("_")}
    return found & set(FLAGS) or set(FLAGS) - {"compile"}


def evaluated(module: str, node: ast.Call, function: str, where: str) -> re.Pattern[Any]:
    given_flags = [keyword.value for keyword in node.keywords if keyword.arg == "flags"] or node.args[FLAGS[function] :]
    namespace = vars(importlib.import_module(module))

    def value_of(expression: ast.expr) -> Any:  # noqa: ANN401 - the value of any expression
        return eval(compile(ast.Expression(expression), where, "eval"), dict(namespace))  # noqa: S307 - the project's own

    try:
        return re.compile(value_of(node.args[0]), value_of(given_flags[0]) if given_flags else 0)
    except NameError as exc:
        pytest.fail(f"{where}: a pattern is a constant of its module, so that it can be examined: {exc}")


USES = list(uses())


def test_the_patterns_of_every_package_are_found() -> None:
    assert {use.where.partition(".")[0] for use in USES} >= {"common", "audio_service", "bot_service"}
    lines = sum(
        len(re.findall(r"\bre\.(?:compile|search|match|fullmatch|sub)\(", ast.unparse(nodes[0])))
        for _, nodes in parsed()
    )
    assert len(USES) >= lines > 30


@pytest.mark.slow
@pytest.mark.parametrize("use", USES, ids=lambda use: use.where)
def test_a_pattern_takes_linear_time(use: Use) -> None:
    strings = list(hostile(use.pattern))
    for name, apply in applications(use):
        for prefix, unit, end in strings:
            size = superlinear_size(lambda size, p=prefix, u=unit, e=end: p + u * (size // len(u)) + e, apply)
            assert size is None, f"{use.where}: {name} of {prefix!r} + {unit!r} * n + {end!r} is not linear ({size})"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "method"),
    [(r"(a+)+b", "match"), (r"\s*\s*x", "match"), (r"\s+$", "search"), (r"[^:]+:", "findall"), (r"eyJ\w{5,}\.", "sub")],
)
def test_a_pattern_that_is_not_linear_is_noticed(pattern: str, method: str) -> None:
    with pytest.raises(AssertionError, match="is not linear"):
        test_a_pattern_takes_linear_time(Use("here", re.compile(pattern), frozenset({method})))


def applications(use: Use) -> Iterator[tuple[str, Callable[[Any], object]]]:
    for method in sorted(use.methods & ANCHORED):
        yield method, getattr(use.pattern, method)
    if use.methods & SCANNING:
        # `search` and the others try every position; what they make of the matches is linear.
        yield "finditer", lambda text: len(use.pattern.findall(text))


def hostile(pattern: re.Pattern[Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Prefix, unit and end of strings that make backtracking expensive: parts of matching texts repeated, then a
    character that matches nothing.
    """
    encoded: Callable[[str], Any] = str.encode if isinstance(pattern.pattern, bytes) else str
    nothing, ends = encoded(""), [encoded(end) for end in ENDS]
    words: list[str] = re.findall(r"[A-Za-z:/]{2,}", str(pattern.pattern))
    for unit in (*UNITS, *words):
        yield nothing, encoded(unit), ends[1]
        yield nothing, encoded(unit), encoded("a")
    seen: set[tuple[Any, Any]] = set()
    for text in matching(pattern):
        for at in range(len(text)):
            for length in (1, len(text)):
                prefix, unit = text[:at], text[at : at + length]
                if (prefix, unit) not in seen:
                    seen.add((prefix, unit))
                    yield from ((prefix, unit, end) for end in (*ends, text[at + length :]))


def matching(pattern: re.Pattern[Any]) -> list[Any]:
    """The longest beginnings of texts that match. The same in every run."""
    found: list[Any] = []

    @settings(
        max_examples=EXAMPLES * 10,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(st.from_regex(pattern, fullmatch=True))
    def collect(text: Any) -> None:  # noqa: ANN401 - str or bytes, as the pattern is
        found.append(text)

    collect()
    return sorted({text[:CHARACTERS] for text in found}, key=len)[-EXAMPLES:]
