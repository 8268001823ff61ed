from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from audio_service.workspace import open_workspace
from common.errors import StorageUnavailable
from tests.servers.reaper import child_environment

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys
from pathlib import Path
from audio_service.workspace import open_workspace
with open_workspace(Path(sys.argv[1])) as workspace, workspace.job() as directory:
    (directory / "half.part").write_text("half")
    print(workspace.root, flush=True)
    sys.stdin.read()
"""


def hold(temp: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(temp)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_a_job_leaves_nothing_whatever_happens_inside(tmp_path: Path) -> None:
    with open_workspace(tmp_path) as workspace:
        with suppress(RuntimeError), workspace.job() as directory:
            (directory / "half.part").write_text("half")
            raise RuntimeError
        assert not list(workspace.root.glob("job-*"))
    assert not list(tmp_path.glob("worker-*"))


def test_a_killed_processs_leftovers_are_swept_and_a_living_ones_are_not(tmp_path: Path) -> None:
    living, its_root = hold(tmp_path)
    killed, left = hold(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert left.exists()
    with open_workspace(tmp_path):
        assert not left.exists()
        assert next(its_root.glob("job-*")).is_dir()
    living.communicate("")
    assert living.returncode == 0


def test_a_path_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(StorageUnavailable, match="TEMP_PATH"), open_workspace(in_the_way / "tmp"):
        pass
