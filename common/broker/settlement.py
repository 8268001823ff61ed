"""What every broker's delivery keeps to: it shows its message, and has one ending.

Refuses to know how an ending is carried out, or whether it was: that is each broker's own.
"""

from __future__ import annotations

from typing import Protocol

from common.broker.base import Message
from common.observability.telemetry import get_logger

log = get_logger(__name__)


class Held(Protocol):
    """What a broker keeps of a message that it has handed out."""

    @property
    def message(self) -> Message:
        """The message as it was published."""
        ...

    @property
    def attempt(self) -> int:
        """1 for the first delivery."""
        ...


class OneEnding:
    """The part of a Delivery that no broker does in another way."""

    def __init__(self, held: Held) -> None:
        self._shown = held
        self._ending = ""

    @property
    def message(self) -> Message:
        """The message as it was published."""
        return self._shown.message

    @property
    def attempt(self) -> int:
        """Which delivery of it this is."""
        return self._shown.attempt

    def refuse_second(self, ending: str) -> None:
        """Raises RuntimeError when there has been an ending: a defect of the consumer."""
        if self._ending:
            raise RuntimeError(f"{ending} after {self._ending}: a delivery has one ending")

    def begin(self, ending: str) -> None:
        """Make this the one ending, unless it is called off. Raises RuntimeError when there has been one."""
        self.refuse_second(ending)
        self._ending = ending

    def call_off(self) -> None:
        """Open it again: the ending was not carried out."""
        self._ending = ""

    def say_lost(self) -> None:
        """Log that the lease was lost before the ending, which therefore changes nothing."""
        log.warning(
            "broker.lease_lost",
            ending=self._ending,
            topic=self.message.topic,
            position=self.message.position,
            attempt=self.attempt,
        )
