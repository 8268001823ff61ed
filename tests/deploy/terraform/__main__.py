"""`make check`'s look at `infra/`: format, validity, the stacks' own tests, and checkov's rules.

Each exception from a rule stands where it is made, with its reason (`#checkov:skip=`). Missing programs are named.
"""

from __future__ import annotations

import subprocess
import sys

from tests.deploy.terraform.workspace import STACKS, Workspace, open_workspace
from tests.servers.locked_tools import install
from tests.servers.missing import ProgramMissing


def main() -> int:
    """Run the checks; return the exit code of the first that fails, with what it printed."""
    try:
        with open_workspace() as workspace:
            return _check(workspace)
    except ProgramMissing as exc:
        sys.stderr.write(f"infra/ is not checked: {exc}\n")
        return 0


def _check(workspace: Workspace) -> int:
    steps = [("", ("fmt", "-check", "-recursive", "-diff"))]
    for stack in STACKS:
        steps += [(stack, ("init", "-backend=false", "-input=false")), (stack, ("validate",)), (stack, ("test",))]
    for stack, arguments in steps:
        done = workspace.run(*arguments, "-no-color", stack=stack) if stack else workspace.run(*arguments)
        if done.returncode:
            sys.stderr.write(f"terraform {' '.join(arguments)} in infra/stacks/{stack}:\n{done.stdout}{done.stderr}")
            return done.returncode
    checkov = [str(install("checkov") / "checkov"), "--directory", ".", "--framework", "terraform", "--skip-download"]
    done = subprocess.run(
        [*checkov, "--quiet", "--compact"], cwd=workspace.infra, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(f"checkov in infra/:\n{done.stdout}{done.stderr}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
