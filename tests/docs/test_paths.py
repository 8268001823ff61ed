"""Every path, module, setting and error code that a document names exists."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from common.errors import AppError
from tests.docs.pages import PAGES, ROOT, blocks, read, spans
from tests.waiting import patience

_TOP = "audio_service|bot_service|bench|butakero|common|docker|docs|k8s|monitoring|requirements|scripts|tests|\\.github"
_PATH = re.compile(rf"(?:\.\./)*(?:{_TOP})/[\w./*-]*")
_FILE = re.compile(r"[\w./*-]*\.(?:py|md|sh|yml|yaml|toml|json|svg)")
_MODULE = re.compile(r"(?:audio_service|bot_service|bench|butakero|common|tests)(?:\.\w+)+")
_SETTING = re.compile(r"[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9]")

# Files that appear when the project is used, and files of others.
MADE = {
    *("CONTRACTS.md", "backend.env", "discord-bot.env", "api-keys.json", "bench/results/SUITE.json", "dist/*.cdx.json"),
    *("dist/audio.cdx.json", "dist/bot.cdx.json", "bench/results/", "k8s/secrets/discord-bot.env"),
}
# Names in capitals that are no settings of ours: of Linux, of other programs, of Python, of tests.
OTHERS = {
    *(
        "PR_SET_PDEATHSIG",
        "RLIMIT_DATA",
        "RLIMIT_CPU",
        "RLIMIT_FSIZE",
        "RLIMIT_AS",
        "EX_CONFIG",
        "CAP_SYS_NICE",
        "ALERT_DISCORD_WEBHOOK",
        "CHANGE_ME",
        "GIN_MODE",
    ),
    *("S3_BUCKET", "S3_KEY", "REQUEST_ID"),
    # Of the function that starts such tasks.
    *("CLUSTER_NAME", "TASK_DEFINITION", "SUBNETS", "SECURITY_GROUP", "TASK_EXECUTION_ARN", "TASK_ROLE_ARN"),
    *("CONTAINER_NAME", "ASSIGN_PUBLIC_IP", "ACCESS_KEY", "SECRET_KEY"),
    *("SSL_CERT_FILE", "TEST_TIME_FACTOR", "KAFKA_BOT_DOWNLOAD_REQUESTS"),
}
PAGES_NOW = [page for page in PAGES if page != "CHANGELOG.md"]


@cache
def tracked() -> frozenset[str]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True, timeout=patience(60)
    )
    return frozenset(listed.stdout.splitlines())


@cache
def known(name: str) -> bool:
    """Whether a name is a tracked file, a directory of some, or the end of a tracked path; `*` stands for any part."""
    pattern = re.escape(name.rstrip("/")).replace(r"\*", "[^/]*")
    matches = re.compile(rf"(?:^|/){pattern}(?:$|/)").search
    return any(matches(path) for path in tracked())


@pytest.mark.parametrize("page", PAGES_NOW)
def test_paths_exist(page: str) -> None:
    named = [span for span in spans(page) if _PATH.fullmatch(span) or _FILE.fullmatch(span)]
    missing = [name for name in named if name not in MADE and not known(re.sub(r"^(\.\./)+", "", name))]
    assert not missing


@pytest.mark.parametrize("page", PAGES_NOW)
def test_links_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)\s]+)\)", read(page))
    for target in targets:
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def anchors(file: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES_NOW)
def test_modules_and_what_is_in_them_exist(page: str) -> None:
    for name in (span.partition("(")[0] for span in spans(page)):
        if _MODULE.fullmatch(name):
            assert resolves(name), name


def resolves(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    try:
        found = import_module(module)
    except ModuleNotFoundError:
        return resolves(module) and hasattr(import_module(module.rpartition(".")[0]), module.rpartition(".")[2])
    if hasattr(found, attribute):
        return True
    try:
        import_module(name)
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.parametrize("page", PAGES_NOW)
def test_settings_exist(page: str) -> None:
    documented = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    text = re.sub(r"\]\([^)]*\)", "", read(page))
    assert set(_SETTING.findall(text)) <= documented | OTHERS


@pytest.mark.parametrize(
    "page", ["docs/access.md", "docs/runbook.md", "docs/using.md", "docs/adr/0008-http-answers.md"]
)
def test_error_codes_exist(page: str) -> None:
    codes = {code for _, content in blocks(page) for code in re.findall(r'"code":"(\w+)"', content)}
    codes |= set(re.findall(r"`([a-z]+_[a-z_]+)`(?: (?:4|5)\d\d|:)", read(page)))
    codes |= set(re.findall(r"\b(?:4|5)\d\d `([a-z_]+)`", read(page)))
    assert codes
    assert codes <= all_codes()


def all_codes() -> set[str]:
    def below(kind: type[AppError]) -> set[str]:
        return {kind.code}.union(*(below(child) for child in kind.__subclasses__()))

    of_http = re.findall(r'"([a-z_]+)"', (ROOT / "audio_service" / "api" / "errors.py").read_text())
    return below(AppError) | set(of_http)


def test_a_name_of_the_past_is_found() -> None:
    assert known("player/rules/machine.py")
    assert known("common/broker/kafka/*.py")
    assert not known("player/machine.py")
    assert not known("common/broker/kafka*.py")
    assert resolves("audio_service.audio.opus.encode_dca")
    assert not resolves("audio_service.audio.webm_head")
