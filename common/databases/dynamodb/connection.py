"""Steps on a table: repeated after conflicts and while DynamoDB throttles, within the time of one operation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from common.aws import open_dynamodb
from common.databases.dynamodb.creation import ensure_table
from common.databases.dynamodb.errors import Conflict, MisconfiguredDatabase, Schema, Throttled, translated_errors
from common.databases.dynamodb.table import Table, repeating
from common.errors import DatabaseUnavailable
from common.observability.telemetry import get_logger
from common.settings import SharedSettings
from common.tasks import time_limit

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

log = get_logger(__name__)

OPERATION_SECONDS = 5.0
"""A request fails when DynamoDB has answered nothing for so long."""
_LONGEST_OPERATION = 4
"""A step that loses to other writers, or is throttled, has so many times OPERATION_SECONDS in all."""
_SDK_ATTEMPTS = 2
"""The rest is done here: a whole step is repeated, with shorter pauses than the SDK's."""
_OPENING_SECONDS = 5.0

T = TypeVar("T")


class DynamoConnection:
    """Runs steps on a table, which is looked for, and made where it is missing, before the first step."""

    def __init__(self, client: DynamoDBClient, schema: Schema, region: str, seconds: float) -> None:
        self.schema = schema
        self.table = Table(client, schema, region, seconds)
        self._client = client
        self._region = region
        self._seconds = seconds
        self._ready = False
        self._preparing = asyncio.Lock()

    async def run(self, step: Callable[[Table], Awaitable[T]], *, seconds: float | None = None) -> T:
        """Run a step, again after each Conflict and while DynamoDB throttles.

        The step must stand being repeated. `seconds` limits all of it, where less than usual is wanted.

        Raises:
            DatabaseUnavailable: no answer, or conflicts, or throttling for all of that time.
        """
        waited_for = "no answer"
        try:
            async with time_limit(self._seconds * _LONGEST_OPERATION if seconds is None else seconds):
                if not self._ready:
                    async with time_limit(self._seconds):
                        await self.prepare()
                async for _ in repeating():
                    try:
                        return await step(self.table)
                    except Conflict as exc:
                        waited_for = f"conflicts with other writers ({exc})"
                    except Throttled as exc:
                        waited_for = exc.detail
        except TimeoutError as exc:
            raise DatabaseUnavailable(f"{self.schema.setting}: {self.schema.name}: {waited_for}") from exc
        raise AssertionError("unreachable: the time limit ends the loop")

    async def prepare(self) -> None:
        """Look for the table, and make it where it is missing. Raises DatabaseUnavailable."""
        async with self._preparing:
            if not self._ready:
                await ensure_table(self._client, self.schema, self._region)
                self._ready = True


@asynccontextmanager
async def connected(
    settings: SharedSettings, schema: Schema, operation_seconds: float = OPERATION_SECONDS
) -> AsyncGenerator[DynamoConnection]:
    """Make the client and look for the table. DynamoDB that does not answer is logged; each step tries it again.

    Raises:
        DatabaseUnavailable: it will not work with these settings; the detail names the one to look at.
    """
    async with AsyncExitStack() as stack:
        with translated_errors(schema, settings.aws_region):
            client = await stack.enter_async_context(open_dynamodb(settings, attempts=_SDK_ATTEMPTS))
        connection = DynamoConnection(client, schema, settings.aws_region, operation_seconds)
        try:
            async with time_limit(_OPENING_SECONDS):
                await connection.prepare()
        except MisconfiguredDatabase:
            raise
        except (DatabaseUnavailable, TimeoutError) as exc:
            log.warning("dynamodb.away", table=schema.name, detail=str(exc) or "no answer")
        yield connection
