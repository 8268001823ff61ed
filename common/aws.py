"""AWS clients made from settings, and what their errors mean. The only module that imports aiobotocore and botocore.

Credentials come from the SDK's own chain (task role, profile, environment), never from our settings. Throttling and
answers of 5xx are repeated by the SDK with back-off and jitter (mode "standard"), within the time limits given here.
Importing this module costs 0.6 s of CPU and 40 MB: `open_*` factories import it when a setting wants AWS.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

import aiohttp
import botocore.session
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.loaders import Loader

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_ecs import ECSClient
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_sns import SNSClient
    from types_aiobotocore_sqs import SQSClient

CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0
CONNECTIONS = 50
"""The SDK's own pool of 10 lets a send wait behind open polls."""
_ATTEMPTS = 4
"""Of one call, the first included."""

_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "Throttled",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_CLOCK = frozenset({"InvalidSignatureException", "RequestExpired", "RequestTimeTooSkewed", "SignatureDoesNotMatch"})
_WITHOUT_REASON = "403"
"""Of S3's answer to HEAD, which has no body."""
_REFUSED = frozenset(
    {
        _WITHOUT_REASON,
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
    }
)
_MISSING = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchBucket",
        "NotFound",
        "NotFoundException",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
    }
)
_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, NoRegionError, ProfileNotFound)

AWS_ERRORS: tuple[type[Exception], ...] = (BotoCoreError, ClientError, aiohttp.ClientError, OSError, TimeoutError)
"""What a call, or reading its streamed body, raises when AWS refuses, fails or does not answer."""


class AwsSettings(Protocol):
    """The settings that lead to AWS."""

    @property
    def aws_region(self) -> str:
        """Region of everything but what an endpoint leads to."""
        ...

    @property
    def aws_endpoint_url(self) -> str:
        """Another server with AWS's API; "": AWS itself."""
        ...

    @property
    def aws_endpoint_url_s3(self) -> str:
        """The same for S3 alone."""
        ...


@dataclass(frozen=True, slots=True)
class AwsFailure:
    """What an error of AWS_ERRORS means.

    `code` is AWS's own ("NoSuchKey"), "" where no answer came. `detail` is one line for operators. `throttled`: the
    SDK's repeats were not enough. `needs_operator`: neither waiting nor a restart helps. `status`: of HTTP, 0 without.
    """

    code: str
    detail: str
    throttled: bool = False
    needs_operator: bool = False
    status: int = 0


def failure_of(exc: Exception) -> AwsFailure:
    """Read an error of AWS_ERRORS."""
    if isinstance(exc, _NO_CREDENTIALS):
        return AwsFailure("", f"AWS credentials: {exc} (task role, profile or environment)", needs_operator=True)
    if not isinstance(exc, ClientError):
        return AwsFailure("", f"{type(exc).__name__}: {exc}")
    response: Any = exc.response
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    detail = f"{exc.operation_name}: {code}: {response.get('Error', {}).get('Message', '')}"
    if code in _CLOCK:
        detail += " (is this machine's clock right? a signature is valid for 5 to 15 minutes)"
    if code == _WITHOUT_REASON:
        detail += " (S3 does not say why: rights, credentials or this machine's clock)"
    needs_operator = code in _CLOCK or code in _REFUSED or code in _MISSING
    return AwsFailure(code, detail, code in _THROTTLED, needs_operator, status)


@asynccontextmanager
async def open_sqs(
    settings: AwsSettings, *, connections: int = CONNECTIONS, read_seconds: float = READ_SECONDS
) -> AsyncGenerator[SQSClient]:
    """Open a client of SQS. A long poll holds a connection: give it a client of its own, which waits longer."""
    async with _open(settings, "sqs", connections, read_seconds) as client:
        yield cast("SQSClient", client)


@asynccontextmanager
async def open_sns(settings: AwsSettings) -> AsyncGenerator[SNSClient]:
    """Open a client of SNS."""
    async with _open(settings, "sns") as client:
        yield cast("SNSClient", client)


@asynccontextmanager
async def open_dynamodb(
    settings: AwsSettings, *, connections: int = CONNECTIONS, attempts: int = _ATTEMPTS
) -> AsyncGenerator[DynamoDBClient]:
    """Open a client of DynamoDB. `attempts`: of one call, by the SDK, the first included."""
    async with _open(settings, "dynamodb", connections, attempts=attempts) as client:
        yield cast("DynamoDBClient", client)


@asynccontextmanager
async def open_s3(
    settings: AwsSettings, *, connections: int = CONNECTIONS, read_seconds: float = READ_SECONDS
) -> AsyncGenerator[S3Client]:
    """Open a client of S3, or of another server that AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL names (by path style)."""
    async with _open(settings, "s3", connections, read_seconds) as client:
        yield cast("S3Client", client)


@asynccontextmanager
async def open_ecs(settings: AwsSettings) -> AsyncGenerator[ECSClient]:
    """Open a client of ECS."""
    async with _open(settings, "ecs") as client:
        yield cast("ECSClient", client)


def read_secret(settings: AwsSettings, name: str) -> str | None:
    """Return the text of a secret, by name or ARN; None if it holds bytes. Blocks: for a program's start.

    Raises one of AWS_ERRORS.
    """
    session: Any = botocore.session.get_session()
    client = session.create_client(
        "secretsmanager",
        region_name=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url or None,
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        ),
    )
    with closing(client):
        text: str | None = client.get_secret_value(SecretId=name).get("SecretString")
    return text


@asynccontextmanager
async def _open(
    settings: AwsSettings,
    service: str,
    connections: int = CONNECTIONS,
    read_seconds: float = READ_SECONDS,
    *,
    attempts: int = _ATTEMPTS,
) -> AsyncGenerator[object]:
    endpoint = settings.aws_endpoint_url
    if service == "s3" and settings.aws_endpoint_url_s3:
        endpoint = settings.aws_endpoint_url_s3
    config = AioConfig(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        max_pool_connections=connections,
        retries={"mode": "standard", "total_max_attempts": attempts},
        s3={"addressing_style": "path" if endpoint else "auto"},
        # What S3 servers other than AWS know: bodies carry Content-MD5, and presigned URLs are of the newer kind.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        signature_version="s3v4" if service == "s3" else None,
    )
    session: Any = get_session()
    session.register_component("data_loader", _loader())
    async with session.create_client(
        service, region_name=settings.aws_region, endpoint_url=endpoint or None, config=config
    ) as client:
        yield client


@cache
def _loader() -> Loader:
    """What reads the SDK's descriptions of services: once for all clients, as parsing them takes most of the time."""
    return Loader()
