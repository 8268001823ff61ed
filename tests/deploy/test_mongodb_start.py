from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import stat
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from audio_service.media.repository import open_repository
from audio_service.settings import AudioSettings
from tests.deploy.compose import ROOT
from tests.servers.mongo import TRANSACTION_SECONDS, mongod_path, open_mongo
from tests.servers.ports import free_port
from tests.servers.reaper import child_environment
from tests.waiting import patience

DIRECTORY = ROOT / "docker" / "mongodb"
ROLE: dict[str, Any] = json.loads((DIRECTORY / "role.json").read_text())
UNAUTHORIZED = 13


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


def test_the_first_start_makes_secrets_and_later_ones_keep_them(tmp_path: Path) -> None:
    made, programs, told = tmp_path / "secrets", tmp_path / "bin", tmp_path / "told"
    made.mkdir()
    programs.mkdir()
    for name in ("mongod", "mongosh"):
        (programs / name).write_text(f'#!/bin/bash\necho {name} "$@" >>{told}\nenv >>{told}\n')
        (programs / name).chmod(0o755)

    def start() -> dict[str, str]:
        subprocess.run(
            ["bash", str(DIRECTORY / "start.sh")],
            check=True,
            env={"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "SECRETS": str(made)},
            timeout=patience(60),
        )
        return {path.name: path.read_text() for path in made.iterdir()}

    first = start()
    assert modes(made) == {"keyfile": 0o400, "admin_password": 0o400, "mongo_password": 0o444}
    assert all(len(value) == 64 for value in first.values())
    assert len(set(first.values())) == 3
    assert start() == first
    (made / "mongo_password").unlink()
    assert start() | {"mongo_password": ""} == first | {"mongo_password": ""}
    assert f"--keyFile {made}/keyfile" in told.read_text()
    assert f"--setParameter transactionLifetimeLimitSeconds={TRANSACTION_SECONDS}" in told.read_text()
    assert not [value for value in first.values() if value in told.read_text()]


async def test_the_role_is_enough_for_the_library_and_for_nothing_else() -> None:
    password = secrets.token_urlsafe(12)
    async with open_mongo(auth=True) as mongo:
        async with mongo.admin() as client:
            rights = {"privileges": ROLE["privileges"], "roles": ROLE["roles"]}
            await client.admin.command("createRole", ROLE["role"], **rights)
            await client.admin.command("createUser", ROLE["user"], pwd=password, roles=[ROLE["role"]])
        settings = mongo.settings(ROLE["roles"][0]["db"], mongo_user=ROLE["user"], mongo_password=password)
        await assert_works(settings)
        options: dict[str, Any] = {**mongo.options, "username": ROLE["user"], "password": password}
        client = AsyncMongoClient[dict[str, Any]](mongo.hosts, **options)
        async with client:
            for database, command in FORBIDDEN:
                with pytest.raises(OperationFailure) as caught:
                    await client[database].command(command)
                assert caught.value.code == UNAUTHORIZED, command


FORBIDDEN: list[tuple[str, dict[str, Any]]] = [
    ("other", {"insert": "songs", "documents": [{}]}),
    ("admin", {"find": "system.users"}),
    ("admin", {"shutdown": 1}),
    ("admin", {"replSetStepDown": 1}),
    ("admin", {"createUser": "x", "pwd": "x", "roles": []}),
]


async def assert_works(settings: AudioSettings) -> None:
    """Open the library, which makes its indexes, and ask how it is; the answer has what the rights are for."""
    async with open_repository(settings) as repository:
        health = await repository.health()
        await repository.search("rules", limit=1)
    assert health.ok, health.error
    mongo = health.metadata["mongo"]
    assert mongo["replica_set_status"]["role"] == "PRIMARY"
    assert mongo["connections"]["current"] > 0


@asynccontextmanager
async def started(directory: Path, port: int, log: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run start.sh with the real mongod and mongosh, both inside `directory`."""
    programs = f"{mongod_path().parent}{os.pathsep}{os.environ['PATH']}"
    places = {"SECRETS": str(directory / "secrets"), "DATA": str(directory / "data"), "HOME": str(directory)}
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *("bash", str(DIRECTORY / "start.sh")),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=child_environment(
                {**places, "PATH": programs, "PORT": str(port), "BIND_IP": "127.0.0.1", "CACHE_GB": "0.25"}
                | {"MEMBER": f"127.0.0.1:{port}"}
            ),
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        await process.wait()


async def healthy(directory: Path, port: int) -> None:
    """Wait until the health check that Compose runs succeeds."""
    async with asyncio.timeout(patience(90)):
        while True:
            check = await asyncio.create_subprocess_exec(
                *("mongosh", "--quiet", "--norc", "--nodb", "--file", str(DIRECTORY / "health.js")),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=child_environment(
                    {"PATH": os.environ["PATH"], "HOME": str(directory), "PORT": str(port)}
                    | {"SECRETS": str(directory / "secrets")}
                ),
            )
            if await check.wait() == 0:
                return


@pytest.mark.skipif(shutil.which("mongosh") is None, reason="mongosh is not installed; the mongo image has it")
async def test_the_real_thing_starts_from_nothing_and_again(tmp_path: Path) -> None:
    for name in ("secrets", "data"):
        (tmp_path / name).mkdir()
    port, log = free_port(), tmp_path / "log"
    for _ in range(2):
        async with started(tmp_path, port, log):
            await healthy(tmp_path, port)
            settings = AudioSettings(
                database_backend="mongodb",
                mongo_host=f"127.0.0.1:{port}",
                mongo_user=ROLE["user"],
                mongo_password=(tmp_path / "secrets" / "mongo_password").read_text(),  # pyright: ignore[reportArgumentType] - pydantic makes a SecretStr of it
                mongo_database=ROLE["roles"][0]["db"],
                mongo_replica_set_name="rs0",
            )
            await assert_works(settings)
    said = log.read_text()
    assert not [path.name for path in (tmp_path / "secrets").iterdir() if path.read_text() in said]
