"""Reads a whole table, once: for an import. No request of the services scans."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from common.aws import AWS_ERRORS, failure_of, open_dynamodb
from common.databases.dynamodb.values import from_wire
from common.errors import DatabaseUnavailable
from common.settings import SharedSettings


async def count_items(settings: SharedSettings, table: str) -> int:
    """Return how many items the table had within the last six hours. Raises DatabaseUnavailable."""
    try:
        async with open_dynamodb(settings) as client:
            found = await client.describe_table(TableName=table)
    except AWS_ERRORS as exc:
        raise DatabaseUnavailable(f"table {table}: {failure_of(exc).detail}") from exc
    return found["Table"].get("ItemCount", 0)


async def scan_items(settings: SharedSettings, table: str) -> AsyncGenerator[dict[str, Any]]:
    """Yield every item as plain values, a page a request. Raises DatabaseUnavailable."""
    start: dict[str, Any] = {}
    async with open_dynamodb(settings) as client:
        while True:
            try:
                page = await client.scan(TableName=table, **start)
            except AWS_ERRORS as exc:
                raise DatabaseUnavailable(f"table {table}: {failure_of(exc).detail}") from exc
            for item in page.get("Items", []):
                yield from_wire(item)
            if not (last := page.get("LastEvaluatedKey")):
                return
            start = {"ExclusiveStartKey": last}
