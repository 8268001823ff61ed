"""A copy of what deploy.sh works with, beside a cluster of the tests' own (fake_cluster.py)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.fake_cluster import STUB, serving
from tests.deploy.fake_state import Cluster

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TOOLS = (
    *("bash", "sed", "grep", "head", "tail", "tr", "base64", "mktemp", "rm", "cat", "sort", "paste", "sleep", "mkdir"),
    *("cp", "mv", "dirname", "curl"),
)
PASSWORD = "planted-password"  # noqa: S105 - of no server
TOKEN = "planted-token"  # noqa: S105 - of no bot


@dataclass(frozen=True)
class Place:
    """A copy of what deploy.sh works with, and the cluster that it finds."""

    directory: Path

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.directory / "cluster")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": str(self.directory / "bin"),
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory / "tmp"),
        }

    @property
    def calls(self) -> list[str]:
        lines = (self.directory / "cluster" / "calls.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def plan(self, **plan: Any) -> None:  # noqa: ANN401 - JSON for the fake
        (self.directory / "cluster" / "plan.json").write_text(json.dumps(plan))

    def fill_in(self, *, token: str = TOKEN, password: str = PASSWORD, user: str = "audio") -> None:
        secrets = self.directory / "k8s" / "secrets"
        backend = f"MONGO_USER={user}\nMONGO_PASSWORD={password}\n"
        (secrets / "backend.env").write_text(backend)
        (secrets / "discord-bot.env").write_text(f"DISCORD_TOKEN={token}\nAUDIO_PROCESSOR_API_KEY=\n")

    def run(
        self, *arguments: str, yes: bool = True, typed: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run deploy.sh, which is told --yes or else hears what is typed."""
        (self.directory / "cluster" / "calls.jsonl").write_text("")
        script = [str(self.directory / "bin" / "bash"), str(self.directory / "deploy.sh"), "--timeout", "5"]
        return subprocess.run(
            [*script, *(["--yes"] if yes else []), *arguments],
            check=False,
            capture_output=True,
            text=True,
            input=typed,
            env={**self.environment, **environment},
            cwd="/",
            timeout=120,
        )

    def change_cluster(self, change: Callable[[Cluster], object]) -> None:
        """Change the cluster behind the script's back."""
        cluster = self.cluster
        change(cluster)
        cluster.save()

    def without(self, tool: str) -> None:
        (self.directory / "bin" / tool).unlink()


@contextmanager
def make_place(directory: Path) -> Generator[Place]:
    """Make `directory` such a place, and answer for its cluster."""
    for name in ("bin", "cluster", "tmp"):
        (directory / name).mkdir()
    shutil.copy(ROOT / "deploy.sh", directory)
    shutil.copytree(ROOT / "scripts" / "deploy", directory / "scripts" / "deploy")
    shutil.copytree(ROOT / "k8s", directory / "k8s", ignore=shutil.ignore_patterns("*.env"))
    shutil.copytree(ROOT / "monitoring", directory / "monitoring")  # k8s/base/monitoring takes dashboards from it
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, tool
        (directory / "bin" / tool).symlink_to(found)
    with serving(directory / "cluster") as port:
        for tool in ("kubectl", "helm"):
            path = directory / "bin" / tool
            path.write_text(STUB.format(bash=directory / "bin" / "bash", port=port))
            path.chmod(0o755)
        place = Place(directory)
        place.plan()
        place.fill_in()
        yield place
