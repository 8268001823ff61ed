"""Known vulnerabilities of everything that is locked, by pip-audit: `make check` and, strictly, `make audit`.

A vulnerability is a failure. That nobody could be asked (no network, an index that does not know) is said; only the
strict way fails for it, or a check could not be run without a network.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOCKS = ("audio", "bot", "dev")
IGNORED = ("CVE-2025-69277",)
"""docs/adr/0016-pynacl.md says why."""
_PATIENCE_SECONDS = 45


def verdict(report: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return a line for each vulnerability of a pip-audit report, and the packages that it could not look up."""
    found: list[str] = []
    unknown: list[str] = []
    for package in report["dependencies"]:
        if "skip_reason" in package:
            unknown.append(package["name"])
        found += [
            f"{package['name']} {package['version']}: {one['id']}, mended in {' '.join(one['fix_versions']) or 'none'}"
            for one in package.get("vulns", [])
            if not {one["id"], *one.get("aliases", [])} & set(IGNORED)
        ]
    return found, unknown


def ask(lock: str) -> dict[str, Any] | None:
    """Return what pip-audit reports of a lock; None when it could not."""
    program = Path(sys.executable).with_name("pip-audit")
    options = ("--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json")
    requirements = str(ROOT / "requirements" / f"{lock}.txt")
    try:
        ran = subprocess.run(
            [str(program), *options, "--requirement", requirements],
            check=False, capture_output=True, text=True, timeout=_PATIENCE_SECONDS,
        )  # fmt: skip
        return json.loads(ran.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None


def main(*, strict: bool) -> int:
    """Return the exit code."""
    failed, answers = False, True
    for lock in LOCKS:
        report = ask(lock) if answers else None
        answers = report is not None
        found, unknown = ([], ["pip-audit had no answer"]) if report is None else verdict(report)
        for line in found:
            sys.stderr.write(f"requirements/{lock}.txt: {line}\n")
        if unknown:
            sys.stderr.write(f"requirements/{lock}.txt: not audited: {len(unknown)} ({unknown[0]} …)\n")
        failed = failed or bool(found) or (strict and bool(unknown))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(strict="--strict" in sys.argv[1:]))
