mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["us-east-1a", "us-east-1b"] }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  project_name    = "butakero"
  environment     = "prod"
  youtube_api_key = "a-key"
  image_digest    = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "everything_is_made" {
  command = apply

  assert {
    condition     = output.s3_bucket_name == "butakero-storage-prod"
    error_message = "existing deployments know the bucket by this name"
  }
  assert {
    condition     = output.dynamodb_songs_table == "butakero-songs-prod"
    error_message = "the table's name"
  }
  assert {
    condition     = module.requests_queue.name == "butakero-download-requests-prod" && module.status_queue.name == "butakero-download-status-prod"
    error_message = "existing deployments know the queues by these names"
  }
}

run "the_task_is_told_where_everything_is" {
  command = apply

  assert {
    condition = alltrue([
      for pair in [
        ["MESSAGING_BACKEND", "sqs"],
        ["DATABASE_BACKEND", "dynamodb"],
        ["STORAGE_BACKEND", "s3"],
        ["S3_BUCKET_NAME", output.s3_bucket_name],
        ["DYNAMODB_TABLE_SONGS", output.dynamodb_songs_table],
        ["SQS_BOT_DOWNLOAD_REQUESTS_URL", output.requests_queue_url],
        ["SNS_BOT_DOWNLOAD_STATUS_ARN", output.status_topic_arn],
        ["AWS_SECRET_NAME", output.secret_name],
      ] : contains(module.service.container.environment, { name = pair[0], value = pair[1] })
    ])
    error_message = jsonencode(module.service.container.environment)
  }
  assert {
    condition     = !strcontains(jsonencode(module.service.container), "a-key")
    error_message = "the task definition holds a secret"
  }
  assert {
    condition     = module.service.container.readonlyRootFilesystem && module.service.container.user != "0"
    error_message = "the container may write to its own files, or is root"
  }
  assert {
    condition     = endswith(module.service.container.image, "@${var.image_digest}")
    error_message = "an image by tag can be another one tomorrow"
  }
}

run "inside_the_vpc_alone" {
  command = plan

  assert {
    condition     = module.alb.internal && length(module.alb.allowed_cidrs) == 0
    error_message = "the load balancer is open to the world"
  }
}

run "outside_needs_a_certificate" {
  command = plan
  variables {
    allowed_cidrs = ["203.0.113.0/24"]
    task_egress   = "nat"
  }
  expect_failures = [var.certificate_arn]
}

run "the_whole_world_is_refused" {
  command = plan
  variables {
    allowed_cidrs   = ["0.0.0.0/0"]
    task_egress     = "nat"
    certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/1"
  }
  expect_failures = [var.allowed_cidrs]
}

run "outside_with_a_certificate" {
  command = apply
  variables {
    allowed_cidrs   = ["203.0.113.0/24"]
    task_egress     = "nat"
    certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/1"
  }
  assert {
    condition     = !module.alb.internal && contains(module.alb.allowed_cidrs, "203.0.113.0/24") && length(module.alb.allowed_cidrs) == 2
    error_message = "the named addresses and the NAT gateway's, and no others"
  }
  assert {
    condition     = output.alb_port == 443 && startswith(output.alb_url, "https://")
    error_message = "no TLS"
  }
}

run "nothing_runs_without_an_image" {
  command = apply
  variables {
    image_digest = ""
  }
  assert {
    condition     = module.service.desired_count == null && module.service.scaled == false
    error_message = "a task was to run that has no image"
  }
}

run "a_digest_is_a_digest" {
  command = plan
  variables {
    image_digest = "latest"
  }
  expect_failures = [var.image_digest]
}

run "no_function_unless_it_is_wanted" {
  command = plan

  assert {
    condition     = length(module.starter) == 0 && length(module.transcode) == 0
    error_message = "a function or a job that no one asked for"
  }
}

run "files_of_the_bucket_become_songs" {
  command = apply
  variables {
    transcode_jobs = true
    # Any file: a package is made by make lambda.
    lambda_package = "tests/stack.tftest.hcl"
  }

  assert {
    condition = alltrue([
      for name, value in {
        CLUSTER_NAME         = output.ecs_cluster_name
        TASK_DEFINITION      = module.transcode[0].task_definition_arn
        CONTAINER_NAME       = "transcode"
        DATABASE_BACKEND     = "dynamodb"
        MESSAGING_BACKEND    = "sqs"
        DYNAMODB_TABLE_SONGS = output.dynamodb_songs_table
        AWS_SECRET_NAME      = output.secret_name
      } : module.starter[0].environment[name] == value
    ])
    error_message = jsonencode(module.starter[0].environment)
  }
  assert {
    condition     = !contains(keys(module.starter[0].environment), "AWS_REGION")
    error_message = "Lambda refuses its own variables"
  }
  assert {
    condition     = join(" ", module.transcode[0].container.command) == "python -m audio_service.transcode_task"
    error_message = jsonencode(module.transcode[0].container)
  }
  assert {
    condition     = !can(module.transcode[0].container.healthCheck) && !can(module.transcode[0].container.portMappings)
    error_message = "a job answers no one"
  }
  assert {
    condition     = module.service.container.healthCheck.retries == 3 && module.service.container.portMappings[0].protocol == "tcp"
    error_message = "the service lost its health check"
  }
}

run "no_uploads_unless_they_are_wanted" {
  command = plan

  assert {
    condition     = length(module.uploads_queue) == 0 && !can(module.service.environment.UPLOADS)
    error_message = "uploads that no one asked for"
  }
}

run "audio_messages_have_a_queue_a_topic_and_a_bucket_that_lets_pages_in" {
  command = apply
  variables {
    uploads        = true
    upload_origins = ["https://music.example"]
  }

  assert {
    condition = alltrue([
      for name, value in {
        UPLOADS            = "true"
        TOPIC_ASSET_STATUS = module.asset_statuses[0].name
      } : module.service.environment[name] == value
    ])
    error_message = jsonencode(module.service.environment)
  }
  assert {
    condition     = replace(module.service.environment.TOPIC_UPLOAD_REQUESTS, ".", "-") == module.uploads_queue[0].name
    error_message = "the service would look for another queue"
  }
  assert {
    condition     = tolist(module.bucket.upload_origins) == tolist(["https://music.example"])
    error_message = jsonencode(module.bucket.upload_origins)
  }
  assert {
    condition = anytrue([
      for statement in data.aws_iam_policy_document.task.statement :
      statement.sid == "TakeRequests" && contains(statement.resources, module.uploads_queue[0].dead_letter_arn)
    ])
    error_message = jsonencode(data.aws_iam_policy_document.task.statement)
  }
}
