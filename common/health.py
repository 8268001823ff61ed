"""What every port answers when it is asked how it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Health:
    """`name` is the key under `services` in the health answer, `metadata` what the contract shows there.

    `error` says to operators why it does not work; it may hold addresses and paths, and goes to logs only.
    """

    name: str
    ok: bool
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: str = ""
