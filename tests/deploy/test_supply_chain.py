"""What the project is made of is pinned, described and audited, and CI may do no more than it has to."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import audit
from tests.deploy.compose import ROOT
from tests.waiting import patience

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LOCKS = ("audio", "bot", "dev")
RELEASE = ROOT / "scripts" / "release.sh"
RELEASE_STEPS = {
    "scripts/release.sh check",
    'scripts/release.sh push "$ARCHITECTURE"',
    "scripts/release.sh join",
    "scripts/release.sh publish",
}
# A job that may write, and what: everything else may read the sources.
WRITES = {
    ("release", "images"): {"contents": "read", "packages": "write"},
    ("release", "release"): {"contents": "write", "packages": "write"},
}
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
        ["make", "--dry-run", "--always-make", target],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=patience(60),
    )


def test_workflows_call_make_targets_and_the_steps_of_a_release_and_nothing_else() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [step["run"] for step in steps() if "run" in step]
    assert {"make check", "make test", "make audit", "make sbom"} <= set(commands)
    for command in commands:
        called = re.fullmatch(r"make ([a-z-]+)", command)
        assert called or command in RELEASE_STEPS, command
        assert not called or called[1] in targets, command


def test_ci_builds_the_images_and_brings_everything_up() -> None:
    job = workflow(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["compose"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == ["make up", "make health", "make logs", "make down"]
    assert job["env"] == {"PROFILE": "monitoring", "FOLLOW": ""}
    assert "up --detach --build --wait" in made("up").stdout
    assert "http://127.0.0.1:8080/api/v1/health" in made("health").stdout


def test_what_ci_uses_is_pinned_to_a_commit_and_says_which_version_that_is() -> None:
    text = "".join(path.read_text() for path in WORKFLOWS)
    uses = re.findall(r"uses: (.+)", text)
    assert len(uses) == len([step for step in steps() if "uses" in step]) > 3
    for use in uses:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use), use


def test_workflows_may_read_the_sources_and_keep_no_credentials_and_only_a_release_writes() -> None:
    for path in WORKFLOWS:
        assert workflow(path)["permissions"] == {}
        assert "pull_request_target" not in path.read_text()
        assert "secrets." not in path.read_text()
        for name, job in workflow(path)["jobs"].items():
            assert job["permissions"] == WRITES.get((path.stem, name), {"contents": "read"})
            assert job["timeout-minutes"] <= 60
    checkouts = [step for step in steps() if "checkout" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_nothing_that_a_stranger_writes_reaches_a_shell() -> None:
    for step in steps():
        assert "${{" not in step.get("run", "")


def test_only_a_tag_starts_a_release_and_nothing_is_pushed_before_the_tests_have_passed() -> None:
    path = ROOT / ".github" / "workflows" / "release.yml"
    assert '\non:\n  push:\n    tags: ["v*"]\n\n' in path.read_text()
    release = workflow(path)
    assert release["jobs"]["images"]["needs"] == "test"
    assert release["jobs"]["release"]["needs"] == "images"
    assert [step["run"] for step in release["jobs"]["test"]["steps"] if "run" in step] == [
        "scripts/release.sh check",
        "make check",
        "make test",
    ]


def step_of_a_release(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [RELEASE, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=patience(60),
        env={"PATH": os.environ["PATH"], **environment},
    )


def test_the_version_is_one_and_has_its_notes() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    checked = step_of_a_release("check", TAG=f"v{version}")
    assert (checked.returncode, checked.stderr) == (0, "")
    notes = step_of_a_release("notes", TAG=f"v{version}").stdout
    assert "### Added" in notes
    assert "## [" not in notes
    assert notes.strip() in (ROOT / "CHANGELOG.md").read_text()


def test_a_tag_of_another_version_is_refused() -> None:
    refused = step_of_a_release("check", TAG="v9.9.9")
    assert refused.returncode == 1
    assert "the tag says 9.9.9" in refused.stderr


def test_a_release_pushes_each_image_for_each_architecture_and_joins_them(tmp_path: Path) -> None:
    """Through a `docker` and a `gh` that write down what they are told."""
    calls = tmp_path / "calls"
    for program in ("docker", "gh"):
        (tmp_path / program).write_text(f'#!/bin/sh\necho {program} "$@" >>{calls}\ncat >/dev/null\n')
        (tmp_path / program).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "TAG": "v0.2.0",
        "REPOSITORY": "Some-One/Music",
        "REVISION": "abc",
        "ACTOR": "someone",
        "GH_TOKEN": "planted-secret",
    }
    for arguments in (["push", "amd64"], ["push", "arm64"], ["join"], ["publish"]):
        done = step_of_a_release(*arguments, **environment)
        assert done.returncode == 0, done.stderr
    told = calls.read_text()
    for image in ("audio", "bot"):
        name = f"ghcr.io/some-one/music/{image}:0.2.0"
        assert f"--file docker/Dockerfile.{image} --tag {name}-arm64" in told
        assert (
            f"imagetools create --tag {name} --tag ghcr.io/some-one/music/{image}:latest {name}-amd64 {name}-arm64"
            in told
        )
    assert "gh release create v0.2.0 --repo Some-One/Music" in told
    assert "planted-secret" not in told
    assert step_of_a_release("push", "riscv64", **environment).returncode == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", "workflows/*.yml"),
        ("vendor.dependabot", "dependabot.yml"),
        ("vendor.github-issue-config", "ISSUE_TEMPLATE/config.yml"),
        ("vendor.github-issue-forms", "ISSUE_TEMPLATE/[!c]*.yml"),
    ],
)
def test_what_github_reads_is_as_github_wants_it(schema: str, pattern: str) -> None:
    files = [str(path) for path in sorted((ROOT / ".github").glob(pattern))]
    assert files
    program = Path(sys.executable).with_name("check-jsonschema")
    checked = subprocess.run(
        [program, "--builtin-schema", schema, *files], check=False, capture_output=True, text=True, timeout=patience(60)
    )
    assert checked.returncode == 0, checked.stdout


def test_yt_dlp_is_moved_daily_and_has_no_dependencies_that_the_locks_would_miss() -> None:
    """Dependabot rewrites one line of each lock; it resolves nothing."""
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    [python] = [update for update in updates if update["package-ecosystem"] == "pip"]
    assert python["schedule"]["interval"] == "daily"
    names = {allowed["dependency-name"] for allowed in python["allow"]}
    assert names == {"yt-dlp", "yt-dlp-ejs"}
    for name in names:
        assert all("extra ==" in requirement for requirement in importlib.metadata.requires(name) or [])


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


def reported(packages: list[audit.Package], *, unknown: tuple[str, ...] = (), vulns: tuple[Json, ...] = ()) -> Json:
    """Return pip-audit's report: the vulnerabilities are the first package's."""
    return {
        "dependencies": [
            {"name": name, "skip_reason": "not found"}
            if name in unknown
            else {"name": name, "version": version, "vulns": list(vulns) if (name, version) == packages[0] else []}
            for name, version in packages
        ]
    }


BAD: Json = {"id": "PYSEC-1", "fix_versions": ["2.0"], "aliases": ["CVE-1"]}
DECIDED: Json = {"id": "PYSEC-2", "fix_versions": [], "aliases": list(audit.IGNORED)}


def test_an_audit_names_each_vulnerability_but_those_decided_on() -> None:
    told = audit.audit([("a", "1.0"), ("b", "1.0")], lambda _, asked: reported(asked, vulns=(BAD, DECIDED)))
    assert told.found == ["a 1.0: PYSEC-1, mended in 2.0"]
    assert told.summary() == "advisories: 2 of 2 locked packages audited (PyPI knows 2)"


def test_the_second_source_is_asked_about_what_the_first_could_not_tell() -> None:
    asked: list[tuple[str, list[audit.Package]]] = []

    def ask(service: str, packages: list[audit.Package]) -> Json:
        asked.append((service, packages))
        return reported(packages, unknown=("b", "c") if service == "pypi" else ("c",), vulns=(BAD,))

    told = audit.audit([("a", "1"), ("b", "1"), ("c", "1")], ask)
    assert asked == [("pypi", [("a", "1"), ("b", "1"), ("c", "1")]), ("osv", [("b", "1"), ("c", "1")])]
    assert [line.partition(":")[0] for line in told.found] == ["a 1", "b 1"]
    assert told.unknown == [("c", "1")]
    assert told.summary() == (
        "advisories: 2 of 3 locked packages audited (PyPI knows 1; OSV knows 1); NOT audited: c==1"
    )


def test_an_audit_without_any_answer_says_that_nothing_was_audited_and_asks_no_source_twice() -> None:
    asked: list[str] = []

    def ask(service: str, _: list[audit.Package]) -> None:
        asked.append(service)

    told = audit.audit([("a", "1"), ("a", "2"), *((name, "1") for name in "bcdef")], ask)
    assert (asked, told.found) == (["pypi", "osv"], [])
    assert told.summary() == (
        "advisories: 0 of 7 locked packages audited (PyPI gave no answer; OSV gave no answer); "
        "NOT audited: a==1 a==2 b==1 c==1 d==1 …"
    )


def test_two_versions_of_one_package_are_both_audited() -> None:
    """A universal lock has one for each Python; pip-audit refuses a name that is there twice."""
    told = audit.audit([("A_b", "1"), ("A_b", "2"), ("c", "1")], lambda _, asked: reported(asked, vulns=(BAD,)))
    assert [line.partition(":")[0] for line in told.found] == ["A_b 1", "A_b 2"]
    assert told.unknown == []


def test_every_package_of_every_lock_is_audited_whatever_its_marker() -> None:
    assert set(audit.locked()) >= {package for name in LOCKS for package in locked(name).items()}


@pytest.mark.slow
def test_the_bills_of_materials_name_every_package_with_version_and_hashes(tmp_path: Path) -> None:
    """From the locks alone: no network, and the same lock gives the same bill."""
    (tmp_path / "requirements").mkdir()
    for name in ("audio", "bot"):
        shutil.copy(ROOT / "requirements" / f"{name}.txt", tmp_path / "requirements")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    command = ["make", "--file", str(ROOT / "Makefile"), "sbom", f"VENV={Path(sys.prefix)}"]
    fresh = ["--old-file", f"{Path(sys.prefix)}/.dev"]
    ran = subprocess.run(
        [*command, *fresh], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=patience(120)
    )
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


@pytest.mark.parametrize("image", ["audio", "bot"])
def test_an_image_declares_its_data_as_a_volume_once_its_owner_is_set(image: str) -> None:
    text = (ROOT / "docker" / f"Dockerfile.{image}").read_text()
    assert text.index("--owner=10001 --group=10001 --mode=0750 /data") < text.index("\nVOLUME /data\n")
