"""A pytest plugin: which tests are marked `server`, and how their random order is kept cheap.

`server`: the test starts a server that is not part of the test process (a database, a broker, a service, the bot), or
uses one. It is found out from where the test is, which fixtures it uses and what its module imports, so that no test
has to be marked by hand. `slow`: the test takes more than about two seconds on an idle machine. That is written at the
test, except where the module starts the pool of child processes, which is found out in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest

_ROOT = Path(__file__).parent
_WHOLE_SYSTEMS = tuple(_ROOT / name for name in ("discord", "e2e"))
_FIXTURES = frozenset({"kafka", "ministack", "mongo", "seaweedfs"})
_ENGINES = _FIXTURES | {"mongodb", "s3", "sqs"}
_MODULES = frozenset({f"tests.servers.{name}" for name in ("clustered", "emulators", "kafka", "mongo", "prometheus")})
_POOL = frozenset({"open_children", "open_questions"})
_POOL_FIXTURES = frozenset({"bench", "impatient"})
_OPENERS = frozenset(
    {
        "open_audio_process",
        "open_bot_process",
        "open_house",
        "open_kafka",
        "open_mongo",
        "open_prometheus",
        "open_alertmanager",
    }
    | {
        "open_ministack",
        "open_prometheus",
        "open_seaweedfs",
        "open_shared_kafka",
        "open_shared_mongo",
        "open_standalone",
    }
)

LONGEST = (
    "e2e/test_jobs.py",
    "contract/test_repository.py",
    "contract/test_broker.py",
    "contract/test_store.py",
    "e2e/test_outages.py",
    "e2e/test_crash_matrix.py",
    "discord/test_fake_discord.py",
    "discord/test_bot_restarts.py",
    "docs/test_commands.py",
)
"""Files of minutes. A worker does a file as a whole: one that began last would be done by one alone at the end."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", "server: starts or uses a server (tests/selection.py marks it)")
    config.addinivalue_line("markers", "slow: takes more than about two seconds on an idle machine")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests, and put those of one directory side by side.

    pytest-randomly has shuffled files, and tests within files. The order of the directories stays random, too, and a
    fixture that a directory shares is set up once.
    """
    for item in items:
        if uses_server(item):
            item.add_marker(pytest.mark.server)
        if _starts_pool(item):
            item.add_marker(pytest.mark.slow)
    items[:] = sorted(by_directory(items), key=lambda item: rank_of(item.path))


def rank_of(path: Path) -> int:
    """Return a test file's place among LONGEST, behind which come all others."""
    places = [_ROOT / name for name in LONGEST]
    return places.index(path) if path in places else len(places)


def by_directory(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Return the tests grouped by directory; directories and tests keep the order in which they come first."""
    grouped: dict[Path, list[pytest.Item]] = {}
    for item in items:
        grouped.setdefault(item.path.parent, []).append(item)
    return [item for group in grouped.values() for item in group]


def uses_server(item: pytest.Item) -> bool:
    """Whether the test needs a server outside of the test process."""
    if any(item.path.is_relative_to(place) for place in _WHOLE_SYSTEMS):
        return True
    if _FIXTURES & set(getattr(item, "fixturenames", ())):
        return True
    module: ModuleType | None = getattr(item, "module", None)
    names = vars(module) if module else {}
    if _OPENERS & names.keys():
        return True
    # A fixture of the module asks for the server that its parameter names.
    imports = any(getattr(value, "__module__", "") in _MODULES for value in names.values())
    return imports and bool(_ENGINES & _words_of(item))


def _starts_pool(item: pytest.Item) -> bool:
    module: ModuleType | None = getattr(item, "module", None)
    names = vars(module) if module else {}
    return bool(_POOL & names.keys()) or bool(_POOL_FIXTURES & set(getattr(item, "fixturenames", ())))


def _words_of(item: pytest.Item) -> set[str]:
    """Return the words in a test's parameters."""
    _, _, parameters = item.name.partition("[")
    return set(parameters.rstrip("]").replace("-", " ").split())
