"""The clients of one broker, and the meaning of AWS's failures: what an operator reads, with the setting to look at."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.aws import AWS_ERRORS, AwsFailure, failure_of, open_sns, open_sqs
from common.errors import BrokerUnavailable
from common.settings import SharedSettings
from common.tasks import time_limit

if TYPE_CHECKING:
    from types_aiobotocore_sns import SNSClient
    from types_aiobotocore_sqs import SQSClient

CALL_SECONDS = 10.0
"""How long a call may take, the SDK's repeats included."""
_POLL_SLACK_SECONDS = 5.0
_LOST = frozenset({"InvalidReceiptHandle", "MessageNotInflight", "ReceiptHandleIsInvalid"})
_NOT_IN_FLIGHT = "not available for visibility timeout change"
_MISSING = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NotFound", "NotFoundException"})


@dataclass(frozen=True, slots=True)
class Clients:
    """`polls` is for long polls alone: each holds a connection, and its answer may take SQS_WAIT_TIME_SECONDS."""

    sqs: SQSClient
    polls: SQSClient
    sns: SNSClient


class Refused(BrokerUnavailable):
    """AWS answers and refuses: credentials, rights, the clock or a setting must change."""

    needs_operator = True


class Missing(Refused):
    """The queue or SNS topic does not exist."""


class LeaseExpired(Refused):
    """The message is no longer ours: its visibility expired, or its queue is gone."""


@asynccontextmanager
async def open_clients(settings: SharedSettings) -> AsyncGenerator[Clients]:
    """Open the clients that a broker uses."""
    patience = settings.sqs_wait_time_seconds + _POLL_SLACK_SECONDS
    async with (
        open_sqs(settings) as sqs,
        open_sqs(settings, read_seconds=patience) as polls,
        open_sns(settings) as sns,
    ):
        yield Clients(sqs, polls, sns)


@asynccontextmanager
async def answered(what: str, *, seconds: float | None = CALL_SECONDS) -> AsyncGenerator[None]:
    """Translate what a call of the body raises.

    Raises:
        Missing: the queue or SNS topic does not exist.
        Refused: only an operator can help.
        BrokerUnavailable: AWS did not answer in `seconds`, or failed.
    """
    try:
        async with time_limit(seconds):
            yield
    except AWS_ERRORS as exc:
        raise unavailable(what, failure_of(exc)) from exc


def unavailable(what: str, failure: AwsFailure) -> BrokerUnavailable:
    """Return the port's error of a failure; `what` names what was tried, and the setting that leads there."""
    detail = f"{what}: {failure.detail}"
    if failure.code in _LOST or _NOT_IN_FLIGHT in failure.detail:
        return LeaseExpired(detail)
    if failure.code in _MISSING:
        return Missing(detail)
    return Refused(detail) if failure.needs_operator else BrokerUnavailable(detail)
