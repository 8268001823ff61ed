"""The result of a health check, the same for every port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Health:
    """`name` is the key under `services` in the health answer, `metadata` the value that the contract defines there.

    `error` is the cause for operators; it may contain addresses and paths, and is only logged.
    """

    name: str
    ok: bool
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: str = ""
