"""Runs a command with local servers in place of AWS: `python -m tests.servers.aws_here COMMAND …` (`make run-aws`).

The servers keep nothing: they start empty and end with the command.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from common.aws import open_s3
from common.settings import SharedSettings
from tests.servers.emulators import CREDENTIALS, open_ministack, open_seaweedfs
from tests.servers.reaper import child_environment

BUCKET = "butakero-songs"


@asynccontextmanager
async def open_aws() -> AsyncGenerator[dict[str, str]]:
    """Start the servers with an empty bucket; yield the environment that leads the programs to them."""
    async with open_ministack() as ministack, open_seaweedfs() as seaweedfs:
        os.environ.update(CREDENTIALS)
        settings = SharedSettings(aws_endpoint_url=ministack.url, aws_endpoint_url_s3=seaweedfs.url)
        async with open_s3(settings) as s3:
            await s3.create_bucket(Bucket=BUCKET)
        yield {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": ministack.url,
            "AWS_ENDPOINT_URL_S3": seaweedfs.url,
            "S3_BUCKET_NAME": BUCKET,
            "MESSAGING_BACKEND": "sqs",
            "DATABASE_BACKEND": "dynamodb",
            "STORAGE_BACKEND": "s3",
        }


async def run(*command: str) -> int:
    """Run a command to its end in that environment; return its exit code. Ctrl-C is the command's to handle."""
    async with open_aws() as environment:
        process = await asyncio.create_subprocess_exec(*command, env=child_environment({**os.environ, **environment}))
        while True:
            try:
                return await process.wait()
            except asyncio.CancelledError:
                if process.returncode is not None:
                    raise


if __name__ == "__main__":
    sys.exit(asyncio.run(run(*sys.argv[1:])))
