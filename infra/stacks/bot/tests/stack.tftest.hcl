mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

override_data {
  target = data.terraform_remote_state.audio
  values = {
    outputs = {
      name                = "butakero-prod"
      vpc_id              = "vpc-1"
      sg_alb_id           = "sg-1"
      alb_port            = 80
      alb_url             = "http://internal-alb"
      s3_bucket_name      = "butakero-storage-prod"
      s3_bucket_arn       = "arn:aws:s3:::butakero-storage-prod"
      requests_queue_url  = "https://sqs.us-east-1.amazonaws.com/123456789012/butakero-download-requests-prod"
      requests_queue_arn  = "arn:aws:sqs:us-east-1:123456789012:butakero-download-requests-prod"
      status_topic_arn    = "arn:aws:sns:us-east-1:123456789012:butakero-prod-download-status"
      progress_topic_arn  = "arn:aws:sns:us-east-1:123456789012:butakero-prod-download-progress"
      status_topic_name   = "butakero-prod-download-status"
      progress_topic_name = "butakero-prod-download-progress"
      ecs_cluster_arn     = "arn:aws:ecs:us-east-1:123456789012:cluster/butakero-prod"
      ecs_cluster_name    = "butakero-prod"
      task_subnet_ids     = ["subnet-1", "subnet-2"]
      assign_public_ip    = true
    }
  }
}

variables {
  discord_token  = "a-token"
  command_prefix = "music"
  image_digest   = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "one_bot_and_never_two" {
  command = apply

  assert {
    condition     = module.service.desired_count == 1 && module.service.maximum_percent == 100 && module.service.minimum_healthy_percent == 0
    error_message = "a second bot would answer each command again"
  }
  assert {
    condition     = module.service.scaled == false
    error_message = "the bot does not scale"
  }
}

run "the_task_is_told_where_everything_is" {
  command = apply

  assert {
    condition = alltrue([
      for pair in [
        ["MESSAGING_BACKEND", "sqs"],
        ["BOT_DATABASE_BACKEND", "dynamodb"],
        ["STORAGE_BACKEND", "s3"],
        ["DYNAMODB_TABLE_BOT", output.dynamodb_table_bot],
        ["AUDIO_PROCESSOR_URL", "http://internal-alb"],
        ["AWS_SECRET_NAME", "butakero-bot"],
      ] : contains(module.service.container.environment, { name = pair[0], value = pair[1] })
    ])
    error_message = jsonencode(module.service.container.environment)
  }
  assert {
    condition     = !strcontains(jsonencode(module.service.container), "a-token")
    error_message = "the task definition holds the token"
  }
}

run "the_load_balancer_lets_the_bot_in" {
  command = plan

  assert {
    condition     = aws_vpc_security_group_ingress_rule.alb.security_group_id == "sg-1" && aws_vpc_security_group_ingress_rule.alb.from_port == 80
    error_message = "the bot cannot reach the audio service"
  }
}
