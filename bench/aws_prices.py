"""What requests to AWS cost: list prices of us-east-1, on demand, at the end of 2025, free allowances not counted."""

from __future__ import annotations

from collections.abc import Mapping

HOURS_A_MONTH = 730
_SQS, _SNS = 0.40e-6, 0.50e-6
_S3_WRITE, _S3_READ = 5e-6, 0.4e-6
_S3_READS = frozenset({"GetObject", "HeadObject", "HeadBucket"})
_S3_FREE = frozenset({"DeleteObject", "DeleteObjects", "AbortMultipartUpload"})
_WRITE_UNIT, _READ_UNIT = 0.625e-6, 0.125e-6

SONG_UNITS = (65 + 30) * _WRITE_UNIT + (12 + 30) * _READ_UNIT
"""Dollars for the units of DynamoDB that a song costs in the library and the bot's store (docs/aws.md)."""


def price(requests: Mapping[str, int]) -> float:
    """Return dollars for requests by "service operation", those of DynamoDB left out: units are what it charges for."""
    return sum(number * _price_of(*name.split(" ", 1)) for name, number in requests.items())


def month_of(requests: Mapping[str, int], seconds: float) -> float:
    """Return dollars a month for requests that are made again and again in `seconds`, as they are at rest.

    A request to DynamoDB counts as one read unit: at rest there are health checks alone.
    """
    units = sum(number for name, number in requests.items() if name.startswith("dynamodb "))
    return (price(requests) + units * _READ_UNIT) * HOURS_A_MONTH * 3600 / seconds


def _price_of(service: str, operation: str) -> float:
    if service == "s3":
        if operation in _S3_FREE:
            return 0.0
        return _S3_READ if operation in _S3_READS else _S3_WRITE
    return {"sqs": _SQS, "sns": _SNS}.get(service, 0.0)
