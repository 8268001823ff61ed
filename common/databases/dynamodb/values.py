"""Items and expressions of DynamoDB: Python values to AttributeValues and back, and the writes of a transaction.

In an expression every name is a placeholder: `#status` is the attribute "status", `:now` the value that is given under
"now". No reserved word is met, and text from people and sources is never part of an expression.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

Item = dict[str, Any]
"""An item as Python values: str, int, float, bool, None, bytes, lists, mappings and sets of str."""
Key = Mapping[str, str]
"""The attributes PK and SK."""

_NAME = re.compile(r"#(\w+)")
_VALUE = re.compile(r":(\w+)")


def key(partition: str, sort: str) -> Item:
    """Return a primary key; an item may begin with it: `{**key(…), …}`."""
    return {"PK": partition, "SK": sort}


def key_of(item: Item) -> Item:
    """Return an item's primary key."""
    return key(item["PK"], item["SK"])


@dataclass(frozen=True, slots=True)
class Put:
    """Write a whole item. `condition` is checked on the item that has its key now; "": no condition."""

    item: Item
    condition: str = ""
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Update:
    """Change an item, or make it: `change` is an update expression such as "SET #status = :done ADD #rev :one"."""

    key: Key
    change: str
    condition: str = ""
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an item; no-op without one, unless `condition` demands it."""

    key: Key
    condition: str = ""
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Check:
    """In a transaction alone: nothing is written unless the condition holds."""

    key: Key
    condition: str
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])


Write = Put | Update | Delete | Check


def parameters(table: str, write: Write) -> Item:
    """Return what PutItem, UpdateItem, DeleteItem and the parts of TransactWriteItems share."""
    change = write.change if isinstance(write, Update) else ""
    found: Item = {"TableName": table, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    if isinstance(write, Put):
        found["Item"] = to_wire(write.item)
    else:
        found["Key"] = to_wire(write.key)
    if change:
        found["UpdateExpression"] = change
    if write.condition:
        found["ConditionExpression"] = write.condition
    return found | placeholders(f"{change} {write.condition}", write.values)


def placeholders(expression: str, values: Mapping[str, Any]) -> Item:
    """Return the names and values that an expression uses: DynamoDB refuses one that it does not.

    Raises:
        KeyError: the expression uses a value that is not among `values`.
    """
    names = {f"#{name}": name for name in _NAME.findall(expression)}
    used = {f":{name}": attribute(values[name]) for name in _VALUE.findall(expression)}
    return {
        **({"ExpressionAttributeNames": names} if names else {}),
        **({"ExpressionAttributeValues": used} if used else {}),
    }


def assignments(values: Mapping[str, Any]) -> str:
    """Return the part of an update expression that sets each attribute to the value of its name."""
    return "SET " + ", ".join(f"#{name} = :{name}" for name in values)


def to_wire(item: Mapping[str, Any]) -> Item:
    """Return an item as AttributeValues."""
    return {name: attribute(value) for name, value in item.items()}


def from_wire(item: Mapping[str, Any]) -> Item:
    """Return an item of AttributeValues as Python values; numbers are int, else float."""
    return {name: plain(value) for name, value in item.items()}


def attribute(value: object) -> Item:  # noqa: PLR0911 - one a type
    """Return a value as an AttributeValue.

    Raises:
        TypeError: DynamoDB has no such type here.
    """
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            # Lone surrogates have no UTF-8.
            return {"S": value.encode("utf-8", "replace").decode()}
        case int() | float():
            return {"N": repr(value)}
        case bytes():
            return {"B": value}
        case Mapping():
            return {"M": to_wire(cast("Mapping[str, Any]", value))}
        case set() | frozenset():
            return {"SS": sorted(cast("set[str]", value))}
        case Sequence():
            return {"L": [attribute(each) for each in cast("Sequence[object]", value)]}
        case _:
            raise TypeError(f"{type(value).__name__} is no DynamoDB value")


def plain(value: Mapping[str, Any]) -> Any:  # noqa: ANN401, PLR0911 - any value of an item; one a type
    """Return an AttributeValue as a Python value."""
    ((kind, content),) = value.items()
    match kind:
        case "NULL":
            return None
        case "N":
            return _number(content)
        case "NS":
            return {_number(each) for each in content}
        case "SS" | "BS":
            return set(content)
        case "L":
            return [plain(each) for each in content]
        case "M":
            return from_wire(content)
        case _:
            return content


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)
