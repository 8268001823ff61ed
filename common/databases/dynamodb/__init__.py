"""DynamoDB for both services: a table with the keys PK and SK, reads, conditional writes, transactions. Knows no item.

The SDK is in `common.aws`. A step that loses to a concurrent writer raises Conflict: `DynamoConnection.run` repeats it
with back-off, as it does when DynamoDB throttles, until the time that one operation has is over. Reads are strongly
consistent (of an index they cannot be). DynamoDB has no clock to ask: times in conditions are this machine's (see
docs/adr/0029-dynamodb.md).
"""

from common.databases.dynamodb.connection import OPERATION_SECONDS, DynamoConnection, connected
from common.databases.dynamodb.creation import EXPIRES, ensure_table
from common.databases.dynamodb.errors import (
    ConditionFailed,
    Conflict,
    MisconfiguredDatabase,
    Schema,
    Throttled,
    translated_errors,
)
from common.databases.dynamodb.table import MAX_TRANSACTION, Found, Table
from common.databases.dynamodb.values import (
    Check,
    Delete,
    Item,
    Key,
    Put,
    Update,
    Write,
    assignments,
    from_wire,
    key,
    key_of,
    to_wire,
)

__all__ = [
    "EXPIRES",
    "MAX_TRANSACTION",
    "OPERATION_SECONDS",
    "Check",
    "ConditionFailed",
    "Conflict",
    "Delete",
    "DynamoConnection",
    "Found",
    "Item",
    "Key",
    "MisconfiguredDatabase",
    "Put",
    "Schema",
    "Table",
    "Throttled",
    "Update",
    "Write",
    "assignments",
    "connected",
    "ensure_table",
    "from_wire",
    "key",
    "key_of",
    "to_wire",
    "translated_errors",
]
