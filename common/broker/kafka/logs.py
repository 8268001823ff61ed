"""aiokafka's log in moderation: while brokers are away it says so forty times a second and subscription."""

from __future__ import annotations

import logging
import time

_LIBRARY = "aiokafka"
_EVERY_SECONDS = 30.0


class Moderation(logging.Filter):
    """Lets each kind of message through once in a while, and says how many were held back in between."""

    def __init__(self, every_seconds: float = _EVERY_SECONDS) -> None:
        super().__init__()
        self.every_seconds = every_seconds
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter.filter`. A kind is a logger's message before its values are put in."""
        kind = (record.name, str(record.msg))
        now = time.monotonic()
        last, held_back = self._said.get(kind, (-self.every_seconds, 0))
        if now - last < self.every_seconds:
            self._said[kind] = (last, held_back + 1)
            return False
        self._said[kind] = (now, 0)
        if held_back:
            record.msg, record.args = f"{record.getMessage()} ({held_back} more like it)", ()
        return True


def moderate() -> None:
    """Moderate the library's loggers, once however often it is called."""
    for name in [name for name in logging.root.manager.loggerDict if name.split(".")[0] == _LIBRARY]:
        logger = logging.getLogger(name)
        if not any(isinstance(present, Moderation) for present in logger.filters):
            logger.addFilter(Moderation())
