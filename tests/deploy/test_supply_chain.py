"""What the project is made of is pinned, described and audited, and CI may do no more than it has to."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import audit
from tests.deploy.compose import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LOCKS = ("audio", "bot", "dev")
Json = dict[str, Any]


def workflow(path: Path) -> Json:
    # "on" is YAML 1.1's true.
    return yaml.safe_load(path.read_text())


def steps() -> list[Json]:
    return [step for path in WORKFLOWS for job in workflow(path)["jobs"].values() for step in job["steps"]]


def locked(name: str) -> dict[str, str]:
    """Return package → version of a lock."""
    found = re.findall(
        r"^([A-Za-z0-9._-]+)==([^\s;]+)", (ROOT / "requirements" / f"{name}.txt").read_text(), re.MULTILINE
    )
    return {_normal(package): version for package, version in found}


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


@cache
def made(target: str) -> subprocess.CompletedProcess[str]:
    """Say what `make` would run for a target."""
    return subprocess.run(
        ["make", "--dry-run", "--always-make", target], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )


def test_ci_calls_make_targets_and_nothing_else() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [step["run"] for step in steps() if "run" in step]
    assert {"make check", "make test", "make audit", "make sbom"} <= set(commands)
    for command in commands:
        called = re.fullmatch(r"make ([a-z-]+)", command)
        assert called, command
        assert called[1] in targets, command


def test_what_ci_uses_is_pinned_to_a_commit_and_says_which_version_that_is() -> None:
    text = "".join(path.read_text() for path in WORKFLOWS)
    uses = re.findall(r"uses: (.+)", text)
    assert len(uses) == len([step for step in steps() if "uses" in step]) > 3
    for use in uses:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use), use


def test_ci_may_read_the_sources_and_keeps_no_credentials() -> None:
    for path in WORKFLOWS:
        assert workflow(path)["permissions"] == {}
        assert "pull_request_target" not in path.read_text()
        assert "secrets." not in path.read_text()
        for job in workflow(path)["jobs"].values():
            assert job["permissions"] == {"contents": "read"}
            assert job["timeout-minutes"] <= 60
    checkouts = [step for step in steps() if "checkout" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_nothing_that_a_stranger_writes_reaches_a_shell() -> None:
    for step in steps():
        assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_its_version_and_hashes(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if entry.strip() and not entry.startswith("#")]
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+==\S+", entry), entry.splitlines()[0]
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_the_images_packages_are_those_that_the_tests_ran_with() -> None:
    tested = locked("dev")
    for name in ("audio", "bot"):
        assert locked(name).items() <= tested.items()


def test_make_check_audits_and_make_audit_lets_nothing_pass_that_it_cannot_tell() -> None:
    assert "tests.deploy.audit\n" in made("check").stdout
    assert "tests.deploy.audit --strict\n" in made("audit").stdout
    assert set(audit.LOCKS) == set(LOCKS)


def test_an_audit_names_each_vulnerability_but_those_decided_on_and_what_it_could_not_look_up() -> None:
    bad: Json = {"id": "PYSEC-1", "fix_versions": ["2.0"], "aliases": ["CVE-1"]}
    known: Json = {"id": "PYSEC-2", "fix_versions": [], "aliases": list(audit.IGNORED)}
    report: Json = {
        "dependencies": [
            {"name": "a", "version": "1.0", "vulns": [bad, known]},
            {"name": "b", "version": "1.0", "vulns": []},
            {"name": "c", "skip_reason": "unknown"},
        ]
    }
    assert audit.verdict(report) == (["a 1.0: PYSEC-1, mended in 2.0"], ["c"])


def test_the_bills_of_materials_name_every_package_with_version_and_hashes(tmp_path: Path) -> None:
    """From the locks alone: no network, and the same lock gives the same bill."""
    (tmp_path / "requirements").mkdir()
    for name in ("audio", "bot"):
        shutil.copy(ROOT / "requirements" / f"{name}.txt", tmp_path / "requirements")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    command = ["make", "--file", str(ROOT / "Makefile"), "sbom", f"VENV={Path(sys.prefix)}"]
    fresh = ["--old-file", f"{Path(sys.prefix)}/.dev"]
    ran = subprocess.run([*command, *fresh], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    for name in ("audio", "bot"):
        bill: Json = json.loads((tmp_path / "dist" / f"{name}.cdx.json").read_text())
        assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "butakero-music-bot")
        assert {_normal(part["name"]): part["version"] for part in bill["components"]} == locked(name)
        for part in bill["components"]:
            assert part["purl"].startswith("pkg:pypi/")
            assert any(found.get("hashes") for found in part["externalReferences"]), part["name"]
        assert "serialNumber" not in bill


def test_security_rules_are_part_of_make_check() -> None:
    """Ruff's S rules are bandit's."""
    ruff = (ROOT / "pyproject.toml").read_text().split("[tool.ruff.lint]")[1].split("[tool.ruff.lint.flake8")[0]
    assert 'select = ["ALL"]' in ruff
    assert not re.search(r'^\s*"S\d', ruff, re.MULTILINE)
    assert "ruff check ." in made("check").stdout


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/runbook.md"])
def test_what_the_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    settings = (ROOT / ".env.example").read_text()
    paths = re.findall(r"`((?:audio_service|bot_service|common|scripts|monitoring|k8s)/[\w./-]*)`?", text)
    assert paths
    for path in (*paths, *re.findall(r"\]\(([^)#]+)\)", text)):
        assert (ROOT / path).exists(), path
    for key in re.findall(r"`([A-Z]+_[A-Z_]+)`", text):
        assert re.search(rf"^#?{key}=", settings, re.MULTILINE), key
