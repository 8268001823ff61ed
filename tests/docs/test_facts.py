"""Numbers and lists that documents state, against the code that decides them."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from audio_service.metrics import WorkerMetrics
from audio_service.settings import AudioSettings
from bot_service.metrics import BotMetrics
from tests.discord.test_bot_command_list import NAMES
from tests.docs.pages import PAGES, ROOT, read


def value(place: str, name: str) -> Any:  # noqa: ANN401 - whatever the module calls so
    """Return the constant `name` of the one module in `place`, a package or a module, that defines it."""
    root = ROOT / place.replace(".", "/")
    files = sorted(root.rglob("*.py")) if root.is_dir() else [root.with_suffix(".py")]
    defining = [file for file in files if re.search(rf"^{name}\b.* = ", file.read_text(), re.MULTILINE)]
    assert len(defining) == 1, f"{name} in {place}: {defining}"
    return getattr(import_module(".".join(defining[0].relative_to(ROOT).with_suffix("").parts)), name)


KB, MB, MS = 1024, 1024 * 1024, 0.001
_YTDLP = "audio_service.sources.ytdlp"
# Page, words around a number, place and name of the constant that decides it, the text's unit in the constant's unit.
NUMBERS = [
    (
        "docs/adr/0002-embedded-broker.md",
        r"every\s+(\d+) ms after",
        "common.broker.embedded",
        "_POLL_FASTEST_SECONDS",
        MS,
    ),
    ("docs/adr/0002-embedded-broker.md", r"off to (\d+) ms", "common.broker.embedded", "_POLL_SLOWEST_SECONDS", MS),
    ("docs/adr/0005-passthrough.md", r"first (\d+) KB of a download", "audio_service.audio", "KEPT_BYTES", KB),
    ("docs/adr/0005-passthrough.md", r"encoder's delay \((\d+) samples", "audio_service.audio", "ENCODER_DELAY", 1),
    ("docs/adr/0006-child-processes.md", r"after (\d+) jobs", "audio_service.children", "MAX_JOBS", 1),
    ("docs/adr/0006-child-processes.md", r"exceeds (\d+) MB", "audio_service.children", "MAX_RESIDENT_BYTES", MB),
    ("docs/adr/0006-child-processes.md", r"BYTES \+ (\d+) MB", "audio_service.children", "_FILE_ROOM_BYTES", MB),
    ("docs/adr/0006-child-processes.md", r"0, (\d+) \| \|", "audio_service.children", "_OPEN_FILES", 1),
    ("docs/adr/0006-child-processes.md", r"\((\d+) lines per job", "audio_service.children", "_LOG_LINES", 1),
    ("docs/adr/0006-child-processes.md", r"Blocks of (\d+) KB", _YTDLP, "_BLOCK_BYTES", KB),
    ("docs/adr/0007-network-guard.md", r"(\d+) MB after", _YTDLP, "_PAGE_BYTES", MB),
    ("docs/adr/0007-network-guard.md", r"and (\d+) requests", _YTDLP, "_MAX_REQUESTS", 1),
    ("docs/adr/0008-http-answers.md", r"limited to (\d+) KiB", "common.http", "MAX_HEAD_BYTES", KB),
    ("docs/adr/0010-kafka.md", r"polls at least every (\d+) ms", "common.broker.kafka.member", "_POLL_MS", 1),
    ("docs/adr/0010-kafka.md", r"most (\d+) offsets ahead", "common.broker.kafka", "WINDOW", 1),
    (
        "docs/adr/0011-mongodb.md",
        r"most ([\d,]+)\s+entries",
        "audio_service.media.repository.mongodb",
        "_COUNTED",
        1,
    ),
    ("docs/adr/0019-api-access.md", r"([\d,]+) at most", "audio_service.access", "MAX_CALLERS", 1),
    ("docs/adr/0019-api-access.md", r"cached for (\d+) minutes", "audio_service.access", "FRESH_SECONDS", 60),
    ("docs/adr/0019-api-access.md", r"every (\d+) seconds", "audio_service.access", "RETRY_SECONDS", 1),
    ("docs/adr/0023-voice-sender.md", r"multiples of (\d+) ms", "bot_service.player.voice", "_SLOT_NS", 1_000_000),
    ("docs/adr/0023-voice-sender.md", r"interval to ([\d.]+) ms", "bot_service.player.voice", "SWITCH_SECONDS", MS),
    ("docs/access.md", r"query over (\d+) KB", "audio_service.api", "MAX_QUERY_BYTES", KB),
    ("docs/access.md", r"value over\s+(\d+) KB", "audio_service.api", "MAX_HEADER_BYTES", KB),
    ("docs/access.md", r"body over (\d+) KB", "common.http", "MAX_BODY_BYTES", KB),
    ("docs/access.md", r"head over (\d+) KB", "common.http", "MAX_HEAD_BYTES", KB),
    ("README.md", r"exit code (\d+)", "common.settings_errors", "EX_CONFIG", 1),
    ("README.es.md", r"con código (\d+)", "common.settings_errors", "EX_CONFIG", 1),
    ("SECURITY.md", r"\((\d+) MB\), unreadable", "common.broker", "MAX_MESSAGE_BYTES", MB),
]


@pytest.mark.parametrize(("page", "words", "place", "constant", "unit"), NUMBERS)
def test_a_number_is_the_codes(page: str, words: str, place: str, constant: str, unit: float) -> None:
    stated = re.findall(words, read(page))
    assert stated
    assert [float(number.replace(",", "")) for number in stated] == [
        pytest.approx(value(place, constant) / unit)
    ] * len(stated)


def test_five_seconds_are_enough_to_begin() -> None:
    assert value(_YTDLP, "PLAYABLE_FRAMES") * 20 == 5000
    for page in ("CHANGELOG.md", "docs/adr/0022-play-while-downloading.md"):
        assert "five seconds" in read(page)


@pytest.mark.parametrize("page", ["README.md", "README.es.md"])
def test_the_table_of_commands_is_what_discord_shows(page: str) -> None:
    rows = re.findall(r"^\| (`[a-z].*?) \|.*\|.*\|$", read(page), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z]+)", row)}
    favourites = {"add"}  # its other sub-commands share their names with commands
    assert named - favourites == NAMES


def test_the_commands_are_documented_alike_in_both_languages() -> None:
    assert re.findall(r"^\| `.*?\| ", read("README.md"), re.MULTILINE) == re.findall(
        r"^\| `.*?\| ", read("README.es.md"), re.MULTILINE
    )


def test_the_readme_fits_its_reader() -> None:
    assert len(read("README.md").splitlines()) <= 200
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 50_000


def test_every_metric_of_both_services_is_documented() -> None:
    registry = CollectorRegistry()
    BotMetrics.on(registry)
    WorkerMetrics.on(registry)
    names = {f"{family.name}_total" if family.type == "counter" else family.name for family in registry.collect()}
    documented = set(re.findall(r"`(butakero_\w+)`", read("docs/monitoring.md")))
    assert names <= documented
    elsewhere = "".join(path.read_text() for path in (ROOT / "audio_service" / "api").glob("*.py"))
    for name in ("gauges", "dependencies"):
        elsewhere += (ROOT / "common" / "observability" / f"{name}.py").read_text()
    elsewhere += (ROOT / "common" / "http" / "connections.py").read_text()
    for name in documented - names:
        assert name.removesuffix("_total") in elsewhere, name


def test_every_panel_that_the_runbook_names_is_on_a_dashboard() -> None:
    dashboards = "".join(path.read_text() for path in (ROOT / "monitoring" / "grafana" / "dashboards").glob("*.json"))
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", read("docs/runbook.md"))) - {"discord"}
    assert len(named) > 5
    for panel in named:
        assert f'"{panel}' in dashboards, panel


def test_the_version_of_kubernetes_is_the_one_that_manifests_are_validated_against() -> None:
    assert f"cluster ({value('tests.deploy.manifests', 'KUBERNETES')} or newer" in read("docs/kubernetes.md")


def ports() -> set[str]:
    """Return the Protocols in `base.py` modules that are not a part of another one."""
    found: dict[str, list[str]] = {}
    for folder in ("common", "audio_service", "bot_service"):
        for path in (ROOT / folder).rglob("base.py"):
            for name, bases in re.findall(r"^class (\w+)\((.*Protocol)\):", path.read_text(), re.MULTILINE):
                found[name] = bases.split(", ")
    parts = {base for bases in found.values() for base in bases}
    # A broker and a blob store hand these out.
    return set(found) - parts - {"Delivery", "GrowingBlob"}


def test_architecture_names_the_ports() -> None:
    [sentence] = re.findall(r"two real adapters: (.*?)\.\n?", read("ARCHITECTURE.md").replace("\n", " "))[:1]
    assert set(re.findall(r"`(\w+)`", sentence)) == ports()


def test_every_port_has_a_contract_suite() -> None:
    suites = {path.name: path.read_text() for path in (ROOT / "tests" / "contract").glob("test_*.py")}
    for port in ports():
        assert [name for name, text in suites.items() if re.search(rf"\b{port}\b", text)], port


def test_architecture_names_every_module_that_starts_threads_or_processes() -> None:
    named = re.findall(r"`((?:common|audio_service|bot_service)/[\w/.]*)`", read("ARCHITECTURE.md"))
    starting = [
        path.relative_to(ROOT).as_posix()
        for folder in ("common", "audio_service", "bot_service")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"\b(Thread|Timer|ThreadPoolExecutor|create_subprocess_exec|CapacityLimiter)\(", path.read_text())
    ]
    assert len(starting) > 5
    for module in starting:
        assert any(module.startswith(name) for name in named if name.count("/") > 1 or "." in name), module


def test_architecture_names_every_task_that_must_last() -> None:
    tasks = {
        name
        for folder in ("common", "audio_service", "bot_service")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r'until_stopped\(\s*stop, "([\w ]+)"', path.read_text())
    }
    assert len(tasks) > 5
    assert tasks <= set(re.findall(r"`([\w ]+)`", read("ARCHITECTURE.md")))


def test_the_glossary_is_short_and_sorted() -> None:
    terms = re.findall(r"^\| ([a-z ]+) \| [A-Z2]", read("ARCHITECTURE.md").split("## Glossary")[1], re.MULTILINE)
    assert 15 <= len(terms) <= 25
    assert terms == sorted(terms)


def test_compose_and_env_need_what_the_readme_says() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    for key in ("DISCORD_TOKEN", "COMMAND_PREFIX", "YOUTUBE_API_KEY"):
        assert f"${{{key}" in compose
        assert f"`{key}`" in read("README.md")
    published = [port for service in yaml.safe_load(compose)["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published)


def test_defaults_in_the_text_are_the_settings() -> None:
    settings = AudioSettings()
    assert settings.http_host == "127.0.0.1"
    assert f"http://127.0.0.1:{settings.http_port}/docs" in read("README.md")


RIDDLES = re.compile(r"\b(whoever|whom|nobody|somebody|let it not|what is to be)\b", re.IGNORECASE)


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith(("docs/", "README", "SECURITY", "ARCH"))])
def test_the_pages_use_the_fields_words(page: str) -> None:
    assert not RIDDLES.findall(read(page))
