"""Packs the function of AWS Lambda: `make lambda`. Handler: audio_service.lambdas.handler.handle.

    python scripts/package_lambda.py [--arch arm64|x86_64]... [--python 3.13] [--into dist]

A package is the same to the byte whenever and wherever it is made from the same tree by the same Python: locked wheels,
files in the order of their names, with one date and one mode. It holds bytecode for the Python that makes it, since
Lambda cannot keep what it compiles: a cold start takes a third of the time. For another version (`--python`) it holds
the sources alone.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements" / "lambda.txt"
MAX_BYTES = 50 * 1024 * 1024
"""Of a package that is uploaded as it is (AWS Lambda quotas)."""

# What both Amazon Linux 2 (glibc 2.26) and 2023 can load.
_PLATFORMS = {"arm64": "aarch64-manylinux2014", "x86_64": "x86_64-manylinux2014"}
_THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_PACKAGES = ("audio_service", "common")
# What the SDK knows of services: the function speaks to these (sts: a role from a web identity).
_SERVICES = frozenset({"dynamodb", "ecs", "s3", "secretsmanager", "sns", "sqs", "sts"})
_DATA = ("botocore", "data")
_LEFT_OUT = frozenset({"__pycache__", "bin", "tests"})
_SUFFIXES_LEFT_OUT = (".pyi", ".pyx", ".pxd", ".c", ".h")
_KEPT_OF_METADATA = ("METADATA", "LICENSE", "COPYING", "NOTICE", "AUTHORS")
_DATE = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644


def main() -> None:
    """Make the packages and print their sizes and digests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", action="append", choices=sorted(_PLATFORMS))
    parser.add_argument("--python", default=_THIS_PYTHON, metavar="VERSION")
    parser.add_argument("--into", type=Path, default=ROOT / "dist")
    chosen = parser.parse_args()
    for arch in chosen.arch or sorted(_PLATFORMS):
        made = package(arch, chosen.python, chosen.into)
        digest = hashlib.sha256(made.read_bytes()).hexdigest()
        size = made.stat().st_size
        sys.stdout.write(f"{made}: {size / 1024 / 1024:.1f} MB, SHA-256 {digest}\n")
        if size > MAX_BYTES:
            sys.exit(f"{made} is over the {MAX_BYTES / 1024 / 1024:.0f} MB of AWS Lambda")


def package(arch: str, python: str, into: Path) -> Path:
    """Make the package of an architecture. Raises CalledProcessError: a wheel is missing, or is not the locked one."""
    into.mkdir(parents=True, exist_ok=True)
    made = into / f"lambda-{arch}.zip"
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        uv = (str(Path(sys.executable).parent / "uv"), "pip", "install", "--quiet", "--no-deps", "--require-hashes")
        platform = ("--python-platform", _PLATFORMS[arch], "--python-version", python, "--only-binary", ":all:")
        subprocess.run([*uv, *platform, "--target", name, "--requirement", str(LOCK)], check=True)
        for path in list(tree.rglob("*")):
            if path.is_file() and not _is_kept(path.relative_to(tree)):
                path.unlink()
        for folder in _PACKAGES:
            shutil.copytree(ROOT / folder, tree / folder, ignore=_all_but_sources)
        if python == _THIS_PYTHON:
            # Without a look at the sources' times, which a package has not.
            how = ("-q", "--invalidation-mode", "unchecked-hash", "-s", name, "-p", "/var/task")
            subprocess.run([sys.executable, "-m", "compileall", *how, name], check=True)
        write_zip(made, {path.relative_to(tree): path for path in tree.rglob("*") if path.is_file()})
    return made


def write_zip(target: Path, files: dict[Path, Path]) -> None:
    """Write files under the given names, in their order; the same files make the same bytes."""
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name in sorted(files, key=lambda path: path.as_posix()):
            entry = zipfile.ZipInfo(name.as_posix(), _DATE)
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, _MODE << 16
            packed.writestr(entry, files[name].read_bytes())
    partial.replace(target)


def _is_kept(path: Path) -> bool:
    """Whether an installed file goes into the package, by its path within the tree."""
    parts = path.parts
    if _LEFT_OUT & set(parts) or path.name.endswith(_SUFFIXES_LEFT_OUT):
        return False
    if parts[0].endswith(".dist-info"):
        return path.name.startswith(_KEPT_OF_METADATA)
    return parts[:2] != _DATA or len(parts) == len(_DATA) + 1 or parts[2] in _SERVICES


def _all_but_sources(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".py") and not (Path(folder) / name / "__init__.py").exists()]


if __name__ == "__main__":
    main()
