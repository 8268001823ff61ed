"""The table itself: it is looked for at start, and made where it is missing and that is allowed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from common.aws import AWS_ERRORS, failure_of
from common.databases.dynamodb.errors import MisconfiguredDatabase, Schema, translated_errors
from common.databases.dynamodb.values import Item, key, to_wire
from common.observability.telemetry import get_logger

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

log = get_logger(__name__)

EXPIRES = "expires_at"
"""The attribute of TTL, in seconds since the epoch. Items are removed up to days later: readers check the time."""
_POLL_SECONDS = 0.5
_KEYS = (("PK", "HASH"), ("SK", "RANGE"))
_NO_ITEM = key("-", "-")
"""A key that no item has: reading it shows that the table answers."""


async def ensure_table(client: DynamoDBClient, schema: Schema, region: str) -> None:
    """Look whether the table has its keys and indexes; make it where it is missing. Idempotent.

    Raises:
        MisconfiguredDatabase: it is missing and may not be made, has other keys, or AWS refuses the credentials.
        DatabaseUnavailable: no answer.
    """
    untyped: Any = client
    with translated_errors(schema, region):
        try:
            table = (await untyped.describe_table(TableName=schema.name))["Table"]
        except AWS_ERRORS as exc:
            match failure_of(exc).code:
                case "ResourceNotFoundException":
                    table = await _create(untyped, schema, region)
                case "AccessDeniedException":
                    # A role of least rights: it is enough that it may read.
                    await untyped.get_item(TableName=schema.name, Key=to_wire(_NO_ITEM))
                    return
                case _:
                    raise
        while table["TableStatus"] == "CREATING":
            await asyncio.sleep(_POLL_SECONDS)
            table = (await untyped.describe_table(TableName=schema.name))["Table"]
        _check(table, schema)
        await _expire(untyped, schema)


async def _create(client: Any, schema: Schema, region: str) -> Item:  # noqa: ANN401 - see Table
    names = ["PK", "SK", *(f"{index}{part}" for index in schema.indexes for part in ("PK", "SK"))]
    keys = [{"AttributeName": name, "KeyType": kind} for name, kind in _KEYS]
    indexes = [
        {
            "IndexName": index,
            "KeySchema": [{"AttributeName": f"{index}{name}", "KeyType": kind} for name, kind in _KEYS],
            "Projection": {"ProjectionType": "ALL"},
        }
        for index in schema.indexes
    ]
    log.info("dynamodb.making_table", table=schema.name, region=region)
    try:
        answer = await client.create_table(
            TableName=schema.name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
            KeySchema=keys,
            **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
        )
    except AWS_ERRORS as exc:
        failure = failure_of(exc)
        if failure.code == "ResourceInUseException":  # another process makes it
            return {"TableStatus": "CREATING"}
        if failure.needs_operator:
            raise MisconfiguredDatabase(
                f"{schema.setting}: there is no table {schema.name} in {region}, it may not be made: {failure.detail}"
            ) from exc
        raise
    return answer["TableDescription"]


def _check(table: Item, schema: Schema) -> None:
    found = {index["IndexName"]: index["KeySchema"] for index in table.get("GlobalSecondaryIndexes", ())}
    for index in ("", *schema.indexes):
        expected = [f"{index}{name}" for name, _ in _KEYS]
        keys = table["KeySchema"] if not index else found.get(index, ())
        if [key["AttributeName"] for key in keys] != expected:
            what = f"the index {index}" if index else "its key"
            raise MisconfiguredDatabase(f"{schema.setting}: {schema.name}: {what} must be {' and '.join(expected)}")


async def _expire(client: Any, schema: Schema) -> None:  # noqa: ANN401 - see Table
    """Let DynamoDB remove expired items. Without the right to, they stay: readers check the time."""
    try:
        described = (await client.describe_time_to_live(TableName=schema.name))["TimeToLiveDescription"]
    except AWS_ERRORS as exc:
        log.debug("dynamodb.expiry_unknown", table=schema.name, detail=failure_of(exc).detail)
        return
    try:
        if described.get("TimeToLiveStatus", "DISABLED") == "DISABLED":
            specification = {"Enabled": True, "AttributeName": EXPIRES}
            await client.update_time_to_live(TableName=schema.name, TimeToLiveSpecification=specification)
        elif described.get("AttributeName") != EXPIRES:
            log.warning("dynamodb.no_expiry", table=schema.name, detail=f"its TTL attribute is not {EXPIRES}")
    except AWS_ERRORS as exc:
        log.warning("dynamodb.no_expiry", table=schema.name, detail=failure_of(exc).detail)
