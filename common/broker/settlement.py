"""The part of a Delivery that is the same for every broker: it shows its message and is settled once.

Refuses to know how a settlement is carried out, or whether it was: that is up to each adapter.
"""

from __future__ import annotations

from common.broker.base import Message, Settlement
from common.observability.telemetry import get_logger

log = get_logger(__name__)


class SettledOnce:
    """Base class of deliveries. It remembers by which settlement this one was settled; None while it is unsettled."""

    def __init__(self, message: Message, attempt: int) -> None:
        self._message = message
        self._attempt = attempt
        self._settlement: Settlement | None = None

    @property
    def message(self) -> Message:
        """The message as it was published."""
        return self._message

    @property
    def attempt(self) -> int:
        """1 for the first delivery."""
        return self._attempt

    def check_unsettled(self, settlement: Settlement) -> None:
        """Raise RuntimeError if it was settled before: a defect of the consumer."""
        if self._settlement is not None:
            raise RuntimeError(f"{settlement} after {self._settlement}: a delivery is settled once")

    def begin_settlement(self, settlement: Settlement) -> None:
        """Mark it as settled, until `undo_settlement`. Raises RuntimeError if it was settled before."""
        self.check_unsettled(settlement)
        self._settlement = settlement

    def undo_settlement(self) -> None:
        """Mark it as unsettled: the settlement was not carried out and may be tried again."""
        self._settlement = None

    def log_lease_lost(self) -> None:
        """Log that the lease was lost before the settlement, which therefore has no effect."""
        log.warning(
            "broker.lease_lost",
            settlement=self._settlement,
            topic=self.message.topic,
            position=self.message.position,
            attempt=self.attempt,
        )
