"""Commands that are not run from the text of the documents: the reason of each, and what is checked of it instead."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cache

import yaml

from tests.docs.pages import ROOT
from tests.waiting import patience

BIN = ROOT / ".venv" / "bin"
_NO_DOCKER = "needs Docker's daemon and images from registries"
_NO_CLUSTER = "needs a Kubernetes cluster"
_WHOLE = "is what CI runs, or takes longer than a test may"

# A command that none of these matches is run, if it is in a block.
REASONS = {
    r"make (run|run SONG=.*)|LOCALE=en make run": "run by test_commands.py, test_make_run_prints_what_the_page_shows",
    r"make run-aws": "run by test_commands.py, test_make_run_aws_on_ministack_and_seaweedfs",
    r"butakero import .*": "needs a library of another program; test_import.py moves some in",
    r"make (test( SEED=\d+)?|check|unit|coverage|bench|bench-full|audit|sbom)": _WHOLE,
    r"(FULL|TEST_TIME_FACTOR)=\d+ make test": _WHOLE,
    r"\.venv/bin/pytest .*": "is a run of tests itself",
    r"make lambda": "fetches wheels for two architectures; test_package_lambda.py makes one",
    r"make lock": "asks the package index, and rewrites the locks",
    r"make (up|down|logs)( .*)?": _NO_DOCKER,
    r"docker compose .*": _NO_DOCKER,
    r"docker (build|inspect)( .*)?": _NO_DOCKER,
    r"kind .*": _NO_CLUSTER,
    r"kubectl( .*)?": _NO_CLUSTER,
    r"helm": _NO_CLUSTER,
    r"scripts/filter_youtube_cookies\.sh firefox": "reads a browser's cookies; test_cookie_script.py runs it",
    r"apt install .*": "installs packages of the system",
    r"\.venv/bin/pre-commit install": "changes the hooks of this repository",
    r"\.ci/run": _WHOLE,
    r"(\.venv/bin/)?python -m bench.*": _WHOLE,
}


def reason(command: str) -> str | None:
    """Return why a command is not run from the text; None: it is."""
    return next((why for pattern, why in REASONS.items() if re.fullmatch(pattern, command)), None)


@dataclass(frozen=True, slots=True)
class Wrong(Exception):
    """A command that cannot work as it is written."""

    command: str
    what: str


def check(command: str) -> None:
    """Check what can be checked of a command without running it: programs, targets, sub-commands, flags, names.

    Raises:
        Wrong: it names something that does not exist.
    """
    words = [word for word in shlex.split(_filled_in(command)) if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    program, arguments = words[0], words[1:]
    if program in {"make", "docker", "kubectl"} and arguments:
        {"make": _check_make, "docker": _check_docker, "kubectl": _check_kubectl}[program](command, arguments)
    elif program.endswith("butakero"):
        _check_butakero(command, arguments)
    elif program in {"python", ".venv/bin/python"}:
        _check_module(command, arguments)
    elif program.endswith("pytest"):
        _check_pytest(command, arguments)
    elif "/" in program and not (ROOT / program).exists():
        raise Wrong(command, f"{program} is not there")
    elif program == "bash" and not (ROOT / arguments[0]).exists():
        raise Wrong(command, f"{arguments[0]} is not there")
    _succeeds(command, ["bash", "-n", "-c", _filled_in(command)])


def _filled_in(command: str) -> str:
    return re.sub(r"<[^<>]+>", "x", command)


def _succeeds(command: str, arguments: list[str]) -> str:
    ran = subprocess.run(arguments, cwd=ROOT, check=False, capture_output=True, text=True, timeout=patience(60))
    if ran.returncode:
        raise Wrong(command, (ran.stderr or ran.stdout).strip())
    return ran.stdout


def _check_make(command: str, arguments: list[str]) -> None:
    _succeeds(command, ["make", "--dry-run", *(word for word in arguments if "=" not in word)])


def _check_docker(command: str, arguments: list[str]) -> None:
    if arguments[0] == "build":
        if not (ROOT / arguments[arguments.index("-f") + 1]).is_file():
            raise Wrong(command, "no such Dockerfile")
        return
    if arguments[0] != "compose":
        return
    # What follows the service of `exec` is a command of its own.
    words = arguments[1:]
    if "exec" in words:
        inner = words[words.index("exec") + 2 :]
        words = words[: words.index("exec") + 2]
        if inner:
            check(shlex.join(inner))
    services = {word for word in words if re.fullmatch(r"[a-z]+_[a-z_]+", word)}
    services |= {word.split("=")[0] for word in words if re.fullmatch(r"[a-z_]+=\d+", word)}
    if unknown := services - compose_services():
        raise Wrong(command, f"no such service: {unknown}")
    flags = words if "exec" not in words else words[: words.index("exec") + 1]
    shown = _succeeds(command, [str(BIN / "docker-compose"), *flags, "--help"])
    # Compose answers an unknown sub-command with its general help.
    if flags[-1:] and "Usage:  docker compose [OPTIONS] COMMAND\n" in shown:
        raise Wrong(command, "no such sub-command")


@cache
def compose_services() -> set[str]:
    return set(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"])


def _check_kubectl(command: str, arguments: list[str]) -> None:
    inner = arguments[arguments.index("--") + 1 :] if "--" in arguments else []
    outer = arguments[: arguments.index("--")] if inner else arguments
    if inner:
        check(shlex.join(inner))
    _succeeds(command, [str(BIN / "kubectl"), *outer, "--help"])
    for word in outer:
        kind, _, name = word.partition("/")
        if kind in {"svc", "deploy"} and name not in {"NAME", "grafana"} and name not in _named(kind):
            raise Wrong(command, f"no such {kind}: {name}")


@cache
def _named(kind: str) -> set[str]:
    """Return the names of the Services or Deployments of the local overlay."""
    rendered = _succeeds("", [str(BIN / "kubectl"), "kustomize", "k8s/overlays/local"])
    wanted = {"svc": "Service", "deploy": "Deployment"}[kind]
    things = [thing for thing in yaml.safe_load_all(rendered) if thing and thing["kind"] == wanted]
    return {thing["metadata"]["name"] for thing in things}


def _check_butakero(command: str, arguments: list[str]) -> None:
    """Ask for the help of the sub-command, with the options that the text gives."""
    words = [word for word in arguments if re.fullmatch(r"[a-z]+", word)]
    groups = {"library", "dlq", "keys"}
    sub = words[: 2 if words and words[0] in groups else 1] if words != ["x"] else []
    shown = _succeeds(command, [sys.executable, "-m", "butakero", *sub, "--help"])
    for option in re.findall(r"(?<=\s)--[a-z-]+", command):
        if option not in shown:
            raise Wrong(command, f"no such option: {option}")


def _check_pytest(command: str, arguments: list[str]) -> None:
    for path in (word.partition("::")[0] for word in arguments if word.startswith("tests/")):
        if not (ROOT / path).exists():
            raise Wrong(command, f"{path} is not there")


def _check_module(command: str, arguments: list[str]) -> None:
    if arguments[0] == "-m" and not any(
        (ROOT / arguments[1].replace(".", "/")).with_suffix(suffix).exists() for suffix in ("", ".py")
    ):
        raise Wrong(command, f"no such module: {arguments[1]}")
