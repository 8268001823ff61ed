"""`make lambda`: what is in a package, and that the function can be imported from it alone."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.servers.reaper import child_environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = (sys.executable, str(ROOT / "scripts" / "package_lambda.py"), "--arch", "x86_64", "--into", str(folder))
    subprocess.run(command, check=True, env=child_environment())
    return folder / "lambda-x86_64.zip"


def test_nothing_in_a_package_depends_on_when_and_where_it_was_made(made: Path) -> None:
    with zipfile.ZipFile(made) as packed:
        entries = packed.infolist()
    names = [entry.filename for entry in entries]
    assert names == sorted(names)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}
    assert not [name for name in names if "RECORD" in name or "INSTALLER" in name or "direct_url" in name]


def test_a_package_holds_the_services_of_aws_that_it_needs_alone(made: Path) -> None:
    with zipfile.ZipFile(made) as packed:
        names = packed.namelist()
    services = {name.split("/")[2] for name in names if name.startswith("botocore/data/") and name.count("/") > 2}
    assert services == {"dynamodb", "ecs", "s3", "secretsmanager", "sns", "sqs", "sts"}
    assert made.stat().st_size < 50 * 1024 * 1024


def test_the_function_runs_from_its_package_alone(made: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(made) as packed:
        packed.extractall(tmp_path)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "import common.broker.sqs.broker, common.blobs.s3, audio_service.media.repository.dynamodb.repository; "
        "from audio_service.lambdas.handler import handle; "
        "print(handle({'Event': 's3:TestEvent'}))"
    )
    place = {"CLUSTER_NAME": "c", "TASK_DEFINITION": "t", "SUBNETS": "s", "SECURITY_GROUP": "g"}
    done = subprocess.run(
        (sys.executable, "-I", "-S", "-c", program),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=child_environment(place),
    )
    assert (done.stdout, done.returncode) == ("{'handled': 0}\n", 0), done.stderr
