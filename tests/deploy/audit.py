"""Known vulnerabilities of everything that is locked, by pip-audit: `make check` and, strictly, `make audit`.

PyPI is asked first, then OSV about what PyPI could not tell. The last line says how many packages were audited and by
which source. A vulnerability is a failure; that a package could not be audited (no network, a mirror without
advisories) fails the strict way alone, or a check could not be run without a network.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOCKS = ("audio", "bot", "dev")
SOURCES = {"PyPI": "pypi", "OSV": "osv"}
"""The name of each source for people, and for pip-audit."""
IGNORED = ("CVE-2025-69277",)
"""docs/adr/0016-pynacl.md says why."""
_PATIENCE_SECONDS = 120
_NAMED = 5
"""Packages of a source's gap that are named."""

Package = tuple[str, str]
"""Name and version."""
Ask = Callable[[str, list[Package]], dict[str, Any] | None]
"""From pip-audit's name of a source and packages of different names to pip-audit's report, or None without one."""


@dataclass
class Audit:
    """What the sources told."""

    by: dict[str, int] = field(default_factory=dict[str, int])
    """How many packages each source knew; one that did not answer is absent."""
    unknown: list[Package] = field(default_factory=list[Package])
    found: list[str] = field(default_factory=list[str])
    """A line for each vulnerability."""

    def summary(self) -> str:
        """Say how many packages were audited and by whom."""
        total = sum(self.by.values()) + len(self.unknown)
        answers = "; ".join(self._answer(source) for source in SOURCES if source in self.by or self.unknown)
        line = f"advisories: {total - len(self.unknown)} of {total} locked packages audited ({answers})"
        if not self.unknown:
            return line
        names = " ".join(f"{name}=={version}" for name, version in self.unknown[:_NAMED])
        return f"{line}; NOT audited: {names}{' …' if len(self.unknown) > _NAMED else ''}"

    def _answer(self, source: str) -> str:
        return f"{source} knows {self.by[source]}" if source in self.by else f"{source} gave no answer"


def locked() -> list[Package]:
    """Return what the locks name, once each, for every platform and Python: a marker excludes nothing here."""
    text = "\n".join((ROOT / "requirements" / f"{lock}.txt").read_text() for lock in LOCKS)
    return sorted(set(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE)))


def audit(packages: Iterable[Package], ask: Ask) -> Audit:
    """Ask each source about what the ones before could not tell; one that gives no answer is not asked again."""
    told = Audit(unknown=sorted(packages))
    for source, service in SOURCES.items():
        for batch in _batches(told.unknown):
            report = ask(service, batch)
            if report is None:
                break
            found, known = verdict(report)
            told.found += found
            told.by[source] = told.by.get(source, 0) + len(known)
            audited = {package for package in batch if normal(package[0]) in known}
            told.unknown = [package for package in told.unknown if package not in audited]
    return told


def normal(name: str) -> str:
    """Return the name as indexes compare it: https://packaging.python.org/en/latest/specifications/name-normalization/."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _batches(packages: list[Package]) -> Iterator[list[Package]]:
    """Split them so that no name is twice in one: pip-audit refuses that, and a universal lock has two versions."""
    while packages:
        first = dict(reversed(packages))
        yield sorted(first.items())
        packages = [(name, version) for name, version in packages if first[name] != version]


def verdict(report: dict[str, Any]) -> tuple[list[str], set[str]]:
    """Return a line for each vulnerability of a pip-audit report, and the names of the packages that it looked up."""
    found: list[str] = []
    known: set[str] = set()
    for package in report["dependencies"]:
        if "skip_reason" not in package:
            known.add(normal(package["name"]))
        found += [
            f"{package['name']} {package['version']}: {one['id']}, mended in {' '.join(one['fix_versions']) or 'none'}"
            for one in package.get("vulns", [])
            if not {one["id"], *one.get("aliases", [])} & set(IGNORED)
        ]
    return found, known


def pip_audit(service: str, packages: list[Package]) -> dict[str, Any] | None:
    """Return what pip-audit reports; None when it could not."""
    program = Path(sys.executable).with_name("pip-audit")
    options = ("--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.writelines(f"{name}=={version}\n" for name, version in packages)
        requirements.flush()
        try:
            ran = subprocess.run(
                [str(program), *options, "--vulnerability-service", service, "--requirement", requirements.name],
                check=False, capture_output=True, text=True, timeout=_PATIENCE_SECONDS,
            )  # fmt: skip
            return json.loads(ran.stdout)
        except (subprocess.TimeoutExpired, json.JSONDecodeError):
            return None


def main(*, strict: bool) -> int:
    """Print what was found and what was audited, and return the exit code."""
    told = audit(locked(), pip_audit)
    sys.stderr.write("".join(f"{line}\n" for line in (*told.found, told.summary())))
    return int(bool(told.found) or (strict and bool(told.unknown)))


if __name__ == "__main__":
    sys.exit(main(strict="--strict" in sys.argv[1:]))
