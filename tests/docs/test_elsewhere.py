"""Every command that a document mentions exists, whether it is run from the text or not."""

from __future__ import annotations

import pytest

from tests.docs.elsewhere import REASONS, Wrong, check, reason
from tests.docs.pages import PAGES, fenced_commands, mentioned_commands

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("page", [page for page in PAGES if mentioned_commands(page)])
def test_what_a_page_mentions_exists(page: str) -> None:
    for command in dict.fromkeys(mentioned_commands(page)):
        check(command)


@pytest.mark.parametrize("page", [page for page in PAGES if any(fenced_commands(page))])
def test_what_is_not_run_from_the_text_exists(page: str) -> None:
    for command in fenced_commands(page):
        if reason(command.text):
            check(command.text)


def test_every_reason_is_needed() -> None:
    commands = {command.text for page in PAGES for command in fenced_commands(page)}
    commands |= {command for page in PAGES for command in mentioned_commands(page)}
    used = {reason(command) for command in commands}
    assert set(REASONS.values()) <= used


@pytest.mark.parametrize(
    "command",
    [
        "make everything",
        "docker compose up --nope",
        "docker compose nope",
        "docker compose logs -f no_such_service",
        "docker compose exec audio_processor butakero nope",
        "docker build -f docker/Dockerfile.nope .",
        "kubectl port-forward svc/nope 8080",
        "kubectl get --nope",
        "butakero nope",
        "butakero keys create x --nope",
        "scripts/nope.sh",
        "bash nope.sh",
        "python -m nope",
        ".venv/bin/pytest tests/nope.py::test_nope",
        "curl 'unfinished",
    ],
)
def test_what_does_not_exist_is_found(command: str) -> None:
    with pytest.raises((Wrong, ValueError)):
        check(command)
