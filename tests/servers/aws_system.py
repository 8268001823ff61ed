"""Settings of whole systems on SQS, DynamoDB and S3, each with queues, a table and a bucket of its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from audio_service.settings import AudioSettings
from common.aws import open_s3
from tests.servers.emulators import Emulator
from tests.servers.media_site import MediaSite
from tests.servers.system import settings_for


@asynccontextmanager
async def aws_settings(
    directory: Path,
    site: MediaSite,
    ministack: Emulator,
    seaweedfs: Emulator,
    **overrides: Any,  # noqa: ANN401 - any setting
) -> AsyncGenerator[AudioSettings]:
    """Make a bucket, and yield settings that use it; the service makes queues, topics and the table itself."""
    name = f"system-{uuid.uuid4().hex[:8]}"
    values: dict[str, Any] = {
        "messaging_backend": "sqs",
        "database_backend": "dynamodb",
        "storage_backend": "s3",
        "aws_endpoint_url": ministack.url,
        "aws_endpoint_url_s3": seaweedfs.url,
        "s3_bucket_name": name,
        "dynamodb_table_songs": name,
        "topic_download_requests": f"{name}.requests",
        "topic_download_status": f"{name}.status",
        "topic_download_progress": f"{name}.progress",
        # A process that ends waits for its open poll.
        "sqs_wait_time_seconds": 1,
        # Visibility is counted in whole seconds, and the emulators share the machine with the processes.
        "broker_lease_seconds": 3.0,
        "lease_seconds": 3.0,
        **overrides,
    }
    settings = settings_for(directory, site.address, **values)
    async with open_s3(settings) as s3:
        await s3.create_bucket(Bucket=name)
    yield settings
