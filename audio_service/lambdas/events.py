"""Reads the events that AWS sends: of S3, as a bucket notifies, and of ECS, as EventBridge passes them on. Pure.

Shapes: S3 User Guide, "Event message structure"; ECS Developer Guide, "Task state change events".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Event = Mapping[str, Any]

_CREATED = "ObjectCreated:"
_ECS, _TASK_CHANGE, _STOPPED = "aws.ecs", "ECS Task State Change", "STOPPED"


@dataclass(frozen=True, slots=True)
class Arrival:
    """An object that was stored."""

    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class DeadTask:
    """A task that stopped without having finished. `environment`: what it was started with."""

    arn: str
    reason: str
    environment: Mapping[str, str]


class _Variable(BaseModel):
    name: str
    value: str = ""


class _Overrides(BaseModel):
    environment: list[_Variable] = []


class _TaskOverrides(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    containers: list[_Overrides] = Field(default=[], alias="containerOverrides")


class _Container(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    exit_code: int | None = Field(default=None, alias="exitCode")


class _Task(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    arn: str = Field(default="", alias="taskArn")
    status: str = Field(default="", alias="lastStatus")
    reason: str = Field(default="", alias="stoppedReason")
    containers: list[_Container] = []
    overrides: _TaskOverrides = _TaskOverrides()


def arrivals(event: Event) -> Iterator[Arrival]:
    """Yield the stored objects of a bucket's notification; none of any other event, such as `s3:TestEvent`.

    Keys are percent-encoded in it, and a space is a plus.
    """
    records = event.get("Records")
    if not isinstance(records, list):
        return
    for record in cast("list[Any]", records):
        try:
            name, s3 = str(record["eventName"]), record["s3"]
            bucket, key = str(s3["bucket"]["name"]), unquote_plus(str(s3["object"]["key"]))
        except (KeyError, TypeError):
            continue  # a record of another service
        if name.removeprefix("s3:").startswith(_CREATED):
            yield Arrival(bucket, key)


def dead_task(event: Event) -> DeadTask | None:
    """Return the task of an event of ECS, unless it is at work or has ended with exit code 0; None of other events."""
    if event.get("source") != _ECS or event.get("detail-type") != _TASK_CHANGE:
        return None
    try:
        task = _Task.model_validate(event.get("detail"))
    except ValidationError:
        return None
    # A container that never started has no exit code.
    finished = bool(task.containers) and all(each.exit_code == 0 for each in task.containers)
    if task.status != _STOPPED or finished:
        return None
    variables = {each.name: each.value for part in task.overrides.containers for each in part.environment}
    return DeadTask(task.arn, task.reason, variables)
