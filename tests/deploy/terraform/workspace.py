"""Terraform itself, offline: the stacks in a folder of their own, and a provider that knows the real one's schema.

Needs terraform, and once go and npm: they make the provider and fetch the package that holds the schema, into
`.cache/terraform/`.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.terraform.schema import read_schema
from tests.servers.missing import ProgramMissing
from tests.servers.reaper import child_environment

_ROOT = Path(__file__).parents[3]
_CACHE = _ROOT / ".cache" / "terraform"
_PROVIDER = Path(__file__).parent / "provider"
INFRA = _ROOT / "infra"
STACKS = ("audio", "bot")

_PACKAGE = "@cdktf/provider-aws@21.22.1"
_PACKAGE_SHA512 = "BuSHeaQFUL9l33pBzIMRT7cTQ69AM2mLtijjteCPhVQRmvuhuj9Lvfymf7knAMhYqAT6+Lrls9jiGVW/Us3zrQ=="
_VERSION = "6.25.0"
"""Of the provider that the package describes."""
_SOURCE = "registry.terraform.io/hashicorp/aws"
"""Terraform's name of the provider; the mirror below stands for that host, and nothing is fetched from there."""

_DECLARED = re.compile(r'^(resource|data) "(aws_\w+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A copy of `infra/`, and the environment in which terraform finds its provider."""

    infra: Path
    environment: dict[str, str]

    def run(self, *arguments: str, stack: str = "") -> subprocess.CompletedProcess[str]:
        """Run terraform in a stack, or in `infra/` itself."""
        return subprocess.run(
            ["terraform", *arguments],
            cwd=self.infra / "stacks" / stack if stack else self.infra,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


@contextmanager
def open_workspace() -> Generator[Workspace]:
    """Copy `infra/` and prepare a provider for the resources in it. Raises ProgramMissing, which skips a test."""
    with tempfile.TemporaryDirectory(prefix="terraform-") as name:
        place = Path(name)
        infra = place / "infra"
        shutil.copytree(INFRA, infra, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
        provider = _fetch()
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        target = place / "mirror" / _SOURCE / _VERSION / f"{platform.system().lower()}_{machine}"
        target.mkdir(parents=True)
        (target / f"terraform-provider-aws_v{_VERSION}").hardlink_to(provider / "provider")
        (place / "cli.tfrc").write_text(
            f'provider_installation {{\n  filesystem_mirror {{\n    path = "{place / "mirror"}"\n  }}\n}}\n'
            "disable_checkpoint = true\n"
        )
        environment = {
            "TF_CLI_CONFIG_FILE": str(place / "cli.tfrc"),
            "TF_IN_AUTOMATION": "1",
            "PROVIDER_SCHEMA": str(_schema(infra, provider)),
        }
        yield Workspace(infra, child_environment({**os.environ, **environment}))


def _fetch() -> Path:
    """Return the folder with the provider and the package: one process makes it, others wait."""
    key = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(_PROVIDER.iterdir())) + _PACKAGE.encode())
    made = _CACHE / key.hexdigest()[:16]
    needed = ("terraform",) if made.is_dir() else ("terraform", "go", "npm")
    if missing := [program for program in needed if shutil.which(program) is None]:
        raise ProgramMissing(f"the checks of infra/ need {', '.join(missing)}")
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            with tempfile.TemporaryDirectory(dir=_CACHE, ignore_cleanup_errors=True) as name:
                draft = Path(name) / "made"
                draft.mkdir()
                _call("npm", "pack", "--silent", _PACKAGE, cwd=draft)
                package = next(draft.glob("*.tgz")).rename(draft / "package.tgz")
                if hashlib.sha512(package.read_bytes()).digest() != base64.b64decode(_PACKAGE_SHA512):
                    raise RuntimeError(f"{_PACKAGE} is not the package that was pinned")
                _call("go", "build", "-o", str(draft / "provider"), ".", cwd=_PROVIDER)
                draft.rename(made)
    return made


def _schema(infra: Path, provider: Path) -> Path:
    """Return the schema of what `infra` declares, read once for each set of resources."""
    declared = {found for path in infra.rglob("*.tf") for found in _DECLARED.findall(path.read_text())}
    resources, data = (sorted(name for what, name in declared if what == kind) for kind in ("resource", "data"))
    key = hashlib.sha256(repr((resources, data)).encode() + (Path(__file__).parent / "schema.py").read_bytes())
    file = provider / f"schema-{key.hexdigest()[:16]}.json"
    if not file.exists():
        draft = file.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(read_schema(provider / "package.tgz", resources, data)))
        draft.rename(file)
    return file


def _call(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=child_environment())
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {(done.stdout + done.stderr)[-2000:]}")
