"""What DynamoDB's errors mean. The only place that translates what the SDK raises for it."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from common.aws import AWS_ERRORS, failure_of
from common.databases.dynamodb.values import Item, from_wire
from common.errors import DatabaseUnavailable


@dataclass(frozen=True, slots=True)
class Schema:
    """A table: its name, the setting that names it, and its indexes.

    An index `GSI1` has the keys GSI1PK and GSI1SK and holds whole items. All keys are text. TTL is by EXPIRES.
    """

    name: str
    setting: str
    indexes: Sequence[str] = field(default=())


class MisconfiguredDatabase(DatabaseUnavailable):
    """AWS answered, and a retry does not help: credentials, rights, region, clock, or a table that is not there."""

    needs_operator = True


class Throttled(DatabaseUnavailable):
    """More was asked than the table's or the account's capacity."""


class Conflict(Exception):
    """A concurrent writer was faster; nothing was written. A step that lets it pass is run again."""


class ConditionFailed(Conflict):
    """A write's condition does not hold; nothing was written.

    `items`: by the position of each write whose condition failed, the item that stands there, {} for none.
    """

    def __init__(self, items: Mapping[int, Item]) -> None:
        super().__init__(f"conditions failed: {sorted(items)}")
        self.items = items

    @property
    def item(self) -> Item:
        """The item of the first failed condition."""
        return self.items[min(self.items)]


@contextmanager
def translated_errors(schema: Schema, region: str) -> Generator[None]:
    """Turn the SDK's exceptions into Conflict or DatabaseUnavailable, whose detail names the setting to check."""
    try:
        yield
    except AWS_ERRORS as exc:
        raise _explained(exc, schema, region) from exc


def _explained(exc: Exception, schema: Schema, region: str) -> Conflict | DatabaseUnavailable:
    failure = failure_of(exc)
    response: Any = getattr(exc, "response", {})
    detail = f"{schema.setting}: {schema.name} in {region}: {failure.detail}"
    match failure.code:
        case "ConditionalCheckFailedException":
            return ConditionFailed({0: from_wire(response.get("Item", {}))})
        case "TransactionCanceledException":
            return _cancelled(response.get("CancellationReasons", []), detail)
        case "TransactionConflictException" | "TransactionInProgressException":
            return Conflict(failure.code)
        case "ResourceNotFoundException":
            return MisconfiguredDatabase(f"{schema.setting}: there is no table {schema.name} in {region}")
        case _ if failure.throttled:
            return Throttled(detail)
        case _:
            return MisconfiguredDatabase(detail) if failure.needs_operator else DatabaseUnavailable(detail)


def _cancelled(reasons: Sequence[Item], detail: str) -> Conflict | DatabaseUnavailable:
    codes = {str(reason.get("Code")) for reason in reasons}
    if "ConditionalCheckFailed" in codes:
        failed = {at: reason for at, reason in enumerate(reasons) if reason.get("Code") == "ConditionalCheckFailed"}
        return ConditionFailed({at: from_wire(reason.get("Item") or {}) for at, reason in failed.items()})
    if "TransactionConflict" in codes:
        return Conflict("TransactionConflict")
    if codes & {"ProvisionedThroughputExceeded", "ThrottlingError"}:
        return Throttled(detail)
    return DatabaseUnavailable(detail)
