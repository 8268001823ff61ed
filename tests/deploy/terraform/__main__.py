"""`make check`'s look at `infra/`: format, validity and the stacks' own tests. Says so when a program is missing."""

from __future__ import annotations

import sys

from tests.deploy.terraform.workspace import STACKS, Workspace, open_workspace
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
