"""MongoDB for both services: a client made from settings, steps, transactions. Knows no collection by name.

The only module that imports motor, and the only place that translates pymongo's exceptions. motor runs pymongo in
threads; its successor, PyMongo's AsyncMongoClient, has the same methods (see docs/adr/0011-mongodb.md).

A command that was sent is completed by its thread even if its caller was cancelled. Every step has the same timeout,
which covers server selection, the retry after a failover and the wait for the majority.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Generic, TypeVar

import pymongo
from bson.codec_options import CodecOptions
from motor.motor_asyncio import (
    AsyncIOMotorClient,
    AsyncIOMotorClientSession,
    AsyncIOMotorCollection,
    AsyncIOMotorDatabase,
)
from pymongo import IndexModel
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from common.errors import DatabaseUnavailable
from common.observability.telemetry import get_logger
from common.settings import SharedSettings
from common.tasks import time_limit

log = get_logger(__name__)

OPERATION_SECONDS = 5.0
_OPENING_SECONDS = 2.0
_TRANSACTION_TRIES = 20

Document = dict[str, Any]
Client = AsyncIOMotorClient[Document]
Collection = AsyncIOMotorCollection[Document]
Database = AsyncIOMotorDatabase[Document]
Session = AsyncIOMotorClientSession

_CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)

T = TypeVar("T")
C = TypeVar("C")


class MisconfiguredDatabase(DatabaseUnavailable):
    """The server answered, and a retry does not help: credentials, certificates, rights, or a standalone server."""

    needs_operator = True


@dataclass(frozen=True, slots=True)
class MongoDatabase:
    """MONGO_DATABASE, with read and write concern "majority": what was read or acknowledged is not rolled back."""

    client: Client
    database: Database

    def collection(self, name: str) -> Collection:
        """Return a collection, which need not exist yet."""
        return self.database[name]

    async def in_transaction(self, step: Callable[[Session], Awaitable[T]]) -> T:
        """Run `step` in a transaction; repeat it after a write conflict. It must have no other side effects."""
        async with await self.client.start_session() as session:
            for last in (*(False for _ in range(_TRANSACTION_TRIES - 1)), True):
                try:
                    async with session.start_transaction(ReadConcern("snapshot"), WriteConcern("majority")):
                        result = await step(session)
                except PyMongoError as exc:
                    if last or not exc.has_error_label("TransientTransactionError"):
                        raise
                else:
                    return result
        raise AssertionError("unreachable: the last try returns or raises")


class MongoConnection(Generic[C]):
    """Runs steps on the collections `C`. Indexes are created before the first step that reaches the server."""

    def __init__(
        self,
        database: MongoDatabase,
        collections: C,
        indexes: Mapping[str, Sequence[IndexModel]],
        seconds: float,
        migrate: Callable[[C], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._collections = collections
        self._indexes = indexes
        self._operation_seconds = seconds
        self._migrate = migrate
        self._indexed = False
        self._indexing = asyncio.Lock()

    async def run(self, step: Callable[[C], Awaitable[T]]) -> T:
        """Run a step. Raises DatabaseUnavailable."""
        with translated_errors():
            if not self._indexed:
                await self.prepare(self._operation_seconds)
            with pymongo.timeout(self._operation_seconds):
                return await step(self._collections)

    async def prepare(self, seconds: float) -> None:
        """Create the indexes if the server answers within `seconds`. Concurrent callers wait as long.

        Raises:
            MisconfiguredDatabase: it answered, and a setting must change.
            DatabaseUnavailable: it did not answer, or is still creating indexes; the next step tries again.
        """
        try:
            async with time_limit(seconds):
                await self._indexing.acquire()
        except TimeoutError as exc:
            raise DatabaseUnavailable("MONGO_HOST: the server is not ready yet") from exc
        try:
            if not self._indexed:
                await self._make_indexes(seconds)
        finally:
            self._indexing.release()

    async def command(self, command: Document, deadline: float) -> Document:
        """Run an admin command until `deadline`, in `time.monotonic()` seconds. Raises DatabaseUnavailable."""
        with translated_errors(), pymongo.timeout(max(deadline - time.monotonic(), 0.001)):
            return dict(await self._database.client.admin.command(command))

    async def _make_indexes(self, seconds: float) -> None:
        with translated_errors():
            with pymongo.timeout(seconds):
                hello: Document = await self._database.client.admin.command("hello")
            if "setName" not in hello and hello.get("msg") != "isdbgrid":
                raise MisconfiguredDatabase("MONGO_HOST: a replica set is needed, of one member at least")
            # No time limit: on a large library a new index takes minutes. An existing one is a no-op.
            for name, models in self._indexes.items():
                await self._database.collection(name).create_indexes(list(models))
            if self._migrate is not None:
                await self._migrate(self._collections)
            self._indexed = True


@asynccontextmanager
async def connected(
    settings: SharedSettings,
    gather: Callable[[MongoDatabase], C],
    indexes: Mapping[str, Sequence[IndexModel]],
    operation_seconds: float = OPERATION_SECONDS,
    *,
    migrate: Callable[[C], Awaitable[None]] | None = None,
) -> AsyncGenerator[MongoConnection[C], None]:
    """Make the client. A server that is down is logged; each step tries it again.

    `gather` returns the collections that steps get; `indexes` are the indexes of each collection, by its name.
    `migrate` brings documents of an earlier version to this one, before the first step; it must be idempotent.

    Raises:
        DatabaseUnavailable: a setting is invalid; the detail names it.
    """
    client = _client(settings, operation_seconds)
    try:
        database = MongoDatabase(
            client,
            client.get_database(
                settings.mongo_database,
                codec_options=_CODEC,
                read_concern=ReadConcern("majority"),
                write_concern=WriteConcern("majority"),
            ),
        )
        connection = MongoConnection(database, gather(database), indexes, operation_seconds, migrate)
        try:
            await connection.prepare(min(_OPENING_SECONDS, operation_seconds))
        except MisconfiguredDatabase:
            raise
        except DatabaseUnavailable as exc:
            log.warning("mongodb.away", detail=exc.detail)
        yield connection
    finally:
        client.close()


@asynccontextmanager
async def open_collection(server: str, database: str, collection: str) -> AsyncGenerator[Collection]:
    """Open a collection of any server by its address, to read another program's documents. Times are aware UTC.

    Raises:
        DatabaseUnavailable: also for what fails inside the context. The detail never holds the address' password.
    """
    client: Client | None = None
    try:
        client = AsyncIOMotorClient(server, tz_aware=True, tzinfo=UTC, serverSelectionTimeoutMS=10_000)
        yield client[database][collection]
    except (PyMongoError, ValueError) as exc:
        raise DatabaseUnavailable(f"{database}/{collection}: {_without_password(str(exc)[:500], server)}") from exc
    finally:
        if client is not None:
            client.close()


def _without_password(text: str, server: str) -> str:
    credentials = server.partition("://")[2].rpartition("@")[0]
    password = credentials.partition(":")[2]
    return text.replace(password, "***") if password else text


def _client(settings: SharedSettings, operation_seconds: float) -> Client:
    selection_ms = int(operation_seconds * 1000)
    options: dict[str, Any] = {
        "port": settings.mongo_port,
        "appname": "butakero",
        "directConnection": settings.mongo_direct_connection,
        "serverSelectionTimeoutMS": selection_ms,
        "connectTimeoutMS": selection_ms,
        "retryWrites": True,
        "retryReads": True,
        "tz_aware": True,
        "io_loop": asyncio.get_running_loop(),
    }
    if settings.mongo_replica_set_name:
        options["replicaSet"] = settings.mongo_replica_set_name
    if settings.mongo_user:
        options |= {"username": settings.mongo_user, "password": settings.mongo_password.get_secret_value()}
    hosts = [host.strip() for host in settings.mongo_host.split(",") if host.strip()]
    if not hosts or any("/" in host or "@" in host for host in hosts):
        raise MisconfiguredDatabase("MONGO_HOST: host or host:port, separated by commas, is expected, and no URL")
    with _tls_options(settings) as tls:
        try:
            return AsyncIOMotorClient(hosts, **options, **tls)
        except (PyMongoError, OSError, ValueError) as exc:
            raise MisconfiguredDatabase(f"MONGO_* settings: {exc}") from exc


@contextmanager
def _tls_options(settings: SharedSettings) -> Generator[dict[str, Any]]:
    """Return the client's TLS options. It needs certificate and key in one file, which is removed after it was read."""
    if not settings.mongo_enable_tls:
        yield {}
        return
    named = {
        "MONGO_CA_FILE": settings.mongo_ca_file,
        "MONGO_CERT_FILE": settings.mongo_cert_file,
        "MONGO_KEY_FILE": settings.mongo_key_file,
    }
    texts = {key: _text(key, path) for key, path in named.items() if path is not None}
    if "MONGO_KEY_FILE" in texts and "MONGO_CERT_FILE" not in texts:
        raise MisconfiguredDatabase("MONGO_CERT_FILE: MONGO_KEY_FILE alone is no client certificate")
    options: dict[str, Any] = {"tls": True}
    if settings.mongo_ca_file is not None:
        options["tlsCAFile"] = str(settings.mongo_ca_file)
    with contextlib.ExitStack() as stack:
        if "MONGO_CERT_FILE" in texts:
            # NamedTemporaryFile makes files that only their owner can read.
            pair = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".pem", encoding="utf-8"))
            same = settings.mongo_cert_file == settings.mongo_key_file
            pair.write(texts["MONGO_CERT_FILE"] + "\n" + ("" if same else texts.get("MONGO_KEY_FILE", "")))
            pair.flush()
            options["tlsCertificateKeyFile"] = pair.name
        yield options


def _text(key: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as exc:
        raise MisconfiguredDatabase(f"{key}: {path} cannot be read as PEM: {exc}") from exc


@contextmanager
def translated_errors() -> Generator[None]:
    """Turn pymongo's exceptions into DatabaseUnavailable whose detail names the setting to check."""
    try:
        yield
    except PyMongoError as exc:
        raise _explained(exc) from exc


def _explained(exc: PyMongoError) -> DatabaseUnavailable:
    text = str(exc)[:500]
    match exc.code if isinstance(exc, OperationFailure) else None:
        case 18:
            return MisconfiguredDatabase(f"MONGO_USER, MONGO_PASSWORD: the server refuses them ({text})")
        case 13:
            return MisconfiguredDatabase(f"MONGO_USER: no right to do this ({text})")
        case int(code):
            return DatabaseUnavailable(f"MongoDB: {text} (code {code})")
        case _:
            pass
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return MisconfiguredDatabase(f"MONGO_CA_FILE: the server's certificate is not to be trusted ({text})")
    return DatabaseUnavailable(f"MONGO_HOST: {text}")
