"""Names of queues and SNS topics, derived from the port's topics and groups. Pure."""

from __future__ import annotations

import hashlib
import re

_MAX_CHARACTERS = 80
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
_DIGEST_CHARACTERS = 16

DEAD_LETTERS = ".dlq"


def topic_name(topic: str) -> str:
    """Return the name of a topic's queue, or of its SNS topic."""
    name = _FOREIGN.sub("-", topic)
    return name if len(name) <= _MAX_CHARACTERS else _shortened(name, topic)


def group_queue_name(topic: str, group: str) -> str:
    """Return the name of a group's own queue. Its digest keeps groups apart that differ in replaced characters."""
    return _shortened(f"{topic_name(topic)}--{_FOREIGN.sub('-', group)}", f"{topic}\n{group}")


def dead_letter_queue_name(queue_name: str) -> str:
    """Return the name of the queue with a queue's dead letters."""
    return topic_name(f"{queue_name}-dlq")


def queue_name_of(url: str) -> str:
    """Return the name of the queue at `url`."""
    return url.rstrip("/").rpartition("/")[2]


def _shortened(name: str, full: str) -> str:
    digest = hashlib.sha256(full.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{name[: _MAX_CHARACTERS - _DIGEST_CHARACTERS - 1]}-{digest}"
