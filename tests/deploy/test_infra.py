"""`infra/`: what Terraform itself says of mistakes in it, and rules that are read from its text."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import pytest

from audio_service.settings import AudioSettings
from bot_service.settings import BotSettings
from tests.deploy.terraform.workspace import INFRA, STACKS, Workspace, open_workspace

FILES = sorted(INFRA.rglob("*.tf"))

SEED_VARIABLES = set(
    re.findall(
        r"\w+",
        """
        aws_region project_name environment gin_mode service_max_attempts service_timeout youtube_api_key oauth2_enabled
        container_port secret_name workers_count ecs_service_desired_count ecs_task_cpu ecs_task_memory ecs_min_capacity
        ecs_max_capacity ecs_cpu_threshold ecs_memory_threshold alb_tags ecs_tags storage_s3_tags
        dynamodb_table_operations_tags dynamodb_table_songs_tag sqs_queue_tag ecr_tags networking_tags cloudwatch_tags
        iam_tags security_group_tags sm_tags
        """,
    )
)
"""The variables of existing deployments' audio stack: a file of them is read without a warning."""
SEED_OUTPUTS = set(
    re.findall(
        r"\w+",
        """
        region dynamodb_songs_table s3_bucket_name secret_arn secret_name ecs_cluster_name ecs_service_name vpc_id
        sg_alb_id public_subnet_ids
        """,
    )
)


@pytest.fixture(scope="module")
def workspace() -> Generator[Workspace]:
    with open_workspace() as opened:
        done = opened.run("init", "-backend=false", "-input=false", stack="audio")
        assert done.returncode == 0, done.stderr
        yield opened


def blocks(text: str, head: str) -> dict[str, str]:
    """Return the bodies of top-level blocks that begin with `head`, by their last label."""
    return dict(re.findall(rf'^{head} "(?:\w+" ")?(\w+)" \{{\n(.*?)^\}}', text, re.MULTILINE | re.DOTALL))


def resources(kind: str) -> list[tuple[Path, str, str]]:
    """Return file, name and body of each resource of a kind."""
    pattern = re.compile(rf'^resource "{kind}" "(\w+)" \{{\n(.*?)^\}}', re.MULTILINE | re.DOTALL)
    return [(path, name, body) for path in FILES for name, body in pattern.findall(path.read_text())]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("modules/queue/main.tf", "visibility_timeout_seconds = 30", "visibility_timeout = 30", "Unsupported argument"),
        (
            "modules/table/main.tf",
            '  hash_key                    = "PK"\n',
            "  hash_key = [1, 2]\n",
            "Incorrect attribute",
        ),
        (
            "modules/network/main.tf",
            "  cidr_block           = var.cidr\n",
            "  cidr_block = var.cdir\n",
            "undeclared input",
        ),
        ("modules/secret/main.tf", "secret_string_wo         ", "secret_string ", "Invalid use of ephemeral value"),
        (
            "modules/bucket/main.tf",
            "  bucket = aws_s3_bucket.this.id\n  versioning",
            "  versioning",
            "Missing required argument",
        ),
        ("stacks/audio/outputs.tf", "module.alb.dns_name", "module.alb.dns", "Unsupported attribute"),
    ],
    ids=[
        "unknown argument",
        "wrong type",
        "undeclared variable",
        "secret in the state",
        "missing argument",
        "no output",
    ],
)
def test_a_mistake_is_found(workspace: Workspace, file: str, old: str, new: str, words: str) -> None:
    path = workspace.infra / file
    right = path.read_text()
    assert old in right
    path.write_text(right.replace(old, new, 1))
    try:
        done = workspace.run("validate", "-no-color", stack="audio")
    finally:
        path.write_text(right)
    assert done.returncode == 1
    assert words in done.stderr


def test_the_variables_and_outputs_of_existing_deployments_are_known() -> None:
    declared = blocks((INFRA / "stacks" / "audio" / "variables.tf").read_text(), "variable")
    assert set(declared) >= SEED_VARIABLES
    outputs = blocks((INFRA / "stacks" / "audio" / "outputs.tf").read_text(), "output")
    assert set(outputs) >= SEED_OUTPUTS


@pytest.mark.parametrize("stack", STACKS)
def test_an_example_names_variables_that_are_declared(stack: str) -> None:
    declared = blocks((INFRA / "stacks" / stack / "variables.tf").read_text(), "variable")
    example = (INFRA / "stacks" / stack / "terraform.example.tfvars").read_text()
    named = set(re.findall(r"^(\w+)\s*=", example, re.MULTILINE))
    assert named
    assert named <= set(declared)


@pytest.mark.parametrize(
    ("stack", "keys"), [("audio", set(AudioSettings.model_fields)), ("bot", set(BotSettings.model_fields))]
)
def test_a_task_is_told_settings_that_exist(stack: str, keys: set[str]) -> None:
    text = (INFRA / "stacks" / stack / "main.tf").read_text()
    begins = r"(?:environment = |environment = merge\(local.upload_settings, |upload_settings = var.uploads \? )"
    environment = "\n".join(re.findall(rf"\n  {begins}\{{\n(.*?)\n  \}}", text, re.DOTALL))
    told = {name.lower() for name in re.findall(r"^\s+([A-Z][A-Z0-9_]+)\s+=", environment, re.MULTILINE)}
    assert len(told) > 8
    assert told <= keys


def test_what_may_be_done_to_everything_says_why() -> None:
    """In IAM "*" stands for all resources: only for actions that know none."""
    found = 0
    for path in FILES:
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if re.search(r'resources\s*=\s*\["\*"\]', line):
                statement = lines[max(0, number - 9) : number]
                assert any("know no resources" in one or "knows no resources" in one for one in statement), path
                found += 1
    assert found == 2


def test_all_actions_of_a_service_are_only_denied() -> None:
    found = 0
    for path in FILES:
        for statement in re.findall(r"\bstatement \{\n(.*?)\n    ?\}", path.read_text(), re.DOTALL):
            if re.search(r'"\w+:\*"', statement):
                assert re.search(r'effect\s*=\s*"Deny"', statement), path
                found += 1
    assert found == 2


def test_no_address_of_the_world_comes_in() -> None:
    assert "0.0.0.0/0" in (INFRA / "stacks" / "audio" / "main.tf").read_text()
    for _, name, body in resources("aws_vpc_security_group_ingress_rule"):
        assert "0.0.0.0/0" not in body, name
    assert not resources("aws_security_group_rule")
    assert not any("ingress {" in body for _, _, body in resources("aws_security_group"))


def test_each_queue_has_a_queue_for_its_dead_letters() -> None:
    queues = resources("aws_sqs_queue")
    assert queues
    for path, name, body in queues:
        assert name == "dead_letters" or "deadLetterTargetArn = aws_sqs_queue.dead_letters.arn" in body, path


def test_what_is_stored_is_encrypted_and_comes_back() -> None:
    for _, name, body in resources("aws_sqs_queue"):
        assert re.search(r"sqs_managed_sse_enabled\s+= true", body), name
    for _, name, body in resources("aws_dynamodb_table"):
        assert "server_side_encryption {" in body, name
        assert "point_in_time_recovery {" in body, name
        assert "ttl {" in body, name
    buckets = {(path, name) for path, name, _ in resources("aws_s3_bucket")}
    for kind in (
        "server_side_encryption_configuration",
        "public_access_block",
        "versioning",
        "lifecycle_configuration",
    ):
        assert {(path, name) for path, name, _ in resources(f"aws_s3_bucket_{kind}")} == buckets, kind


def test_no_task_may_do_anything_with_a_whole_service() -> None:
    """Existing deployments' bot has s3:* and sqs:*."""
    bot = (INFRA / "stacks" / "bot" / "main.tf").read_text()
    assert "s3:PutObject" not in bot
    assert "s3:DeleteObject" not in bot
    assert "sqs:ReceiveMessage" not in re.search(r"sid\s+= \"AskForSongs\"\n(.*?)\n  \}", bot, re.DOTALL)[1]  # pyright: ignore[reportOptionalSubscript] - the assertion's own failure
