"""The function on DynamoDB and SQS of ministack and on an S3 server, with an ECS that answers as AWS does."""

from __future__ import annotations

import asyncio
import json
import urllib.parse
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import pytest
from types_aiobotocore_s3 import S3Client

from audio_service.lambdas.handler import handle
from audio_service.media.model import MediaStatus
from audio_service.media.repository import open_repository
from audio_service.settings import AudioSettings
from audio_service.sources.bucket import StoredObject, find_object
from common.aws import open_s3
from common.errors import InternalError
from tests.servers.aws_proxy import Answer, AwsProxy, open_aws_proxy
from tests.servers.buckets import bucket_keys, make_bucket
from tests.servers.emulators import Emulator, library_on
from tests.servers.system import environment_of

KEY = "audio_input_raw/Una zamba + (dúo) 100%.m4a"
PLACE = {
    "CLUSTER_NAME": "songs",
    "TASK_DEFINITION": "transcode:3",
    "SUBNETS": "subnet-1, subnet-2",
    "SECURITY_GROUP": "sg-1",
    "TASK_EXECUTION_ARN": "arn:aws:iam::1:role/execution",
    "TASK_ROLE_ARN": "arn:aws:iam::1:role/task",
}
STARTED = Answer(200, body={"tasks": [{"taskArn": "arn:aws:ecs:us-east-1:1:task/songs/1"}], "failures": []})
REFUSED = Answer(200, body={"tasks": [], "failures": [{"reason": "RESOURCE:MEMORY", "arn": "arn:aws:ecs:x"}]})


def notified(*keys: str, bucket: str, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    """Return the event of a bucket, as the S3 User Guide describes it."""
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "us-east-1",
                "eventTime": "2026-11-28T00:00:00.000Z",
                "eventName": name,
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
                    "object": {"key": urllib.parse.quote_plus(key, safe="/"), "size": 1, "eTag": "0"},
                },
            }
            for key in keys
        ]
    }


def stopped(environment: list[dict[str, str]], *, exit_code: int | None = 137) -> dict[str, Any]:
    """Return the event of a task that stopped, as the ECS Developer Guide describes it."""
    container: dict[str, Any] = {"name": "transcode", "lastStatus": "STOPPED"}
    if exit_code is not None:
        container["exitCode"] = exit_code
    return {
        "version": "0",
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "detail": {
            "taskArn": "arn:aws:ecs:us-east-1:1:task/songs/1",
            "lastStatus": "STOPPED",
            "stoppedReason": "Host EC2 terminated",
            "containers": [container],
            "overrides": {"containerOverrides": [{"name": "transcode", "environment": environment}]},
        },
    }


@dataclass(frozen=True, slots=True)
class Place:
    settings: AudioSettings
    s3: S3Client
    bucket: str
    aws: AwsProxy

    async def put(self, key: str = KEY) -> StoredObject:
        await self.s3.put_object(Bucket=self.bucket, Key=key, Body=b"sound")
        return await find_object(self.s3, self.bucket, key)

    async def handle(self, event: dict[str, Any]) -> int:
        return (await asyncio.to_thread(handle, event))["handled"]

    async def arrive(self, *keys: str) -> int:
        return await self.handle(notified(*(keys or (KEY,)), bucket=self.bucket))

    @property
    def starts(self) -> list[Any]:
        return self.aws.sent("RunTask")

    @property
    def statuses(self) -> list[dict[str, Any]]:
        """What was published to the topic of statuses."""
        fields = [pair for body in self.aws.bodies["PublishBatch"] for pair in urllib.parse.parse_qsl(body)]
        return [json.loads(value) for name, value in fields if name.endswith(".Message")]

    async def status(self, stored: StoredObject) -> MediaStatus | None:
        async with open_repository(self.settings) as repository:
            record = await repository.get(stored.media_id)
            return record.status if record else None


@pytest.fixture
async def place(ministack: Emulator, seaweedfs: Emulator, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Place]:
    keys = bucket_keys(seaweedfs)
    async with open_aws_proxy(ministack.url) as aws:
        topic = uuid.uuid4().hex
        settings = library_on(
            ministack,
            aws_endpoint_url=aws.url,
            aws_endpoint_url_s3=keys["aws_endpoint_url_s3"],
            s3_bucket_name=keys["s3_bucket_name"],
            messaging_backend="sqs",
            topic_download_requests=f"{topic}.requests",
            topic_download_status=f"{topic}.status",
            topic_download_progress=f"{topic}.progress",
            service_max_attempts=2,
        )
        for name, value in {**environment_of(settings), **PLACE}.items():
            monkeypatch.setenv(name, value)
        aws.answers["RunTask"] = STARTED
        await make_bucket(settings)
        async with open_s3(settings) as client:
            yield Place(settings, client, settings.s3_bucket_name, aws)


async def test_an_object_starts_one_task_whose_record_is_begun(place: Place) -> None:
    stored = await place.put()
    assert await place.arrive() == 1
    assert await place.arrive() == 1, "events come twice"
    (start,) = place.starts
    assert (start["cluster"], start["taskDefinition"], start["launchType"]) == ("songs", "transcode:3", "FARGATE")
    network = start["networkConfiguration"]["awsvpcConfiguration"]
    assert network == {"subnets": ["subnet-1", "subnet-2"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}
    assert start["overrides"]["taskRoleArn"] == PLACE["TASK_ROLE_ARN"]
    assert start["overrides"]["executionRoleArn"] == PLACE["TASK_EXECUTION_ARN"]
    (container,) = start["overrides"]["containerOverrides"]
    variables = {each["name"]: each["value"] for each in container["environment"]}
    assert variables == {"S3_BUCKET": place.bucket, "S3_KEY": KEY, "REQUEST_ID": stored.request_id, "START": "1"}
    assert await place.status(stored) is MediaStatus.PROCESSING
    assert not place.statuses


FOREIGN: list[dict[str, Any]] = [
    {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"},
    {},
    {"Records": [{"eventSource": "aws:sns", "Sns": {}}]},
    {"Records": "x"},
    notified("audio/x.dca", "audio_input_raw/x.txt", "elsewhere/x.m4a", bucket="b"),
    notified(KEY, bucket="b", name="ObjectRemoved:Delete"),
    {"source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": {"lastStatus": "RUNNING"}},
    {"source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": None},
    stopped([{"name": "S3_KEY", "value": "of another program"}]),
]


@pytest.mark.parametrize("event", FOREIGN)
async def test_what_is_not_for_it_is_passed_over(place: Place, event: dict[str, Any]) -> None:
    assert await place.handle(event) == 0
    assert not place.aws.calls


async def test_an_object_that_is_gone_is_passed_over_and_the_next_one_is_started(place: Place) -> None:
    await place.put("audio_input_raw/two.M4A")
    assert await place.arrive(KEY, "audio_input_raw/two.M4A") == 2
    assert len(place.starts) == 1


async def test_a_task_that_died_is_started_again_and_given_up_at_last(place: Place) -> None:
    stored = await place.put()
    await place.arrive()
    for _ in range(2):
        environment = place.starts[0]["overrides"]["containerOverrides"][0]["environment"]
        assert await place.handle(stopped(environment)) == 1
    first, second = place.starts
    assert first["clientToken"] != second["clientToken"]
    following = second["overrides"]["containerOverrides"][0]["environment"]
    assert {"name": "START", "value": "2"} in following
    assert not place.statuses
    assert await place.handle(stopped(following, exit_code=None)) == 1
    assert len(place.starts) == 2
    (status,) = place.statuses
    assert (status["request_id"], status["success"]) == (stored.request_id, False)
    assert await place.status(stored) is MediaStatus.ERROR
    assert await place.handle(stopped(following)) == 1, "answered: nothing more is said"
    assert len(place.statuses) == 1


async def test_a_task_that_ended_well_is_left_alone(place: Place) -> None:
    environment = [{"name": name, "value": "x"} for name in ("S3_BUCKET", "S3_KEY", "REQUEST_ID")]
    assert await place.handle(stopped(environment, exit_code=0)) == 0


async def test_a_start_that_ecs_fails_in_its_answer_is_an_error_with_a_status(place: Place) -> None:
    place.aws.answers["RunTask"] = REFUSED
    stored = await place.put()
    assert await place.arrive() == 1
    assert len({start["clientToken"] for start in place.starts}) == 1
    (status,) = place.statuses
    assert status["request_id"] == stored.request_id
    assert await place.status(stored) is MediaStatus.ERROR


async def test_an_ecs_that_refuses_is_told_to_lambda_which_tries_again(place: Place) -> None:
    place.aws.answers["RunTask"] = Answer(400, code="AccessDeniedException", message="not authorized: ecs:RunTask")
    stored = await place.put()
    with pytest.raises(InternalError, match=r"RunTask in songs: .*ecs:RunTask"):
        await place.arrive()
    assert not place.statuses
    place.aws.answers["RunTask"] = STARTED
    assert await place.arrive() == 1
    assert place.starts[-1]["clientToken"] == place.starts[0]["clientToken"]
    assert await place.status(stored) is MediaStatus.PROCESSING


async def test_a_token_that_ecs_knows_counts_as_started(place: Place) -> None:
    place.aws.answers["RunTask"] = Answer(400, code="ConflictException", message="other parameters")
    stored = await place.put()
    assert await place.arrive() == 1
    assert await place.arrive() == 1
    assert len(place.starts) == 1
    assert await place.status(stored) is MediaStatus.PROCESSING
