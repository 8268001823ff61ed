# The bot: one task, never two at once. It lives in the network that the audio service's stack made, and reads that
# stack's outputs.

data "terraform_remote_state" "audio" {
  backend = "s3"
  config = {
    bucket = var.audio_state_bucket
    key    = var.audio_state_key
    region = var.audio_state_region
  }
}

data "aws_caller_identity" "here" {}

locals {
  audio      = data.terraform_remote_state.audio.outputs
  name       = "${local.audio.name}-bot"
  account_id = data.aws_caller_identity.here.account_id
  # Each instance of the bot has queues of its own, which it makes: their names begin like this.
  own_queues = "arn:aws:sqs:${var.aws_region}:${local.account_id}:${local.audio.name}-*"
}

module "guilds" {
  source              = "../../modules/table"
  name                = "${local.audio.name}-guilds"
  deletion_protection = var.deletion_protection
  indexes             = {}
}

module "secret" {
  source       = "../../modules/secret"
  name         = var.secret_name
  description  = "Settings of the bot that are secret"
  text         = jsonencode({ DISCORD_TOKEN = var.discord_token, COMMAND_PREFIX = var.command_prefix })
  text_version = var.secret_version
}

module "registry" {
  source = "../../modules/registry"
  name   = local.name
}

resource "aws_security_group" "tasks" {
  name        = "${local.name}-tasks"
  description = "The bot: no address reaches it"
  vpc_id      = local.audio.vpc_id
  tags        = { Name = "${local.name}-tasks" }
}

resource "aws_vpc_security_group_egress_rule" "world" {
  security_group_id = aws_security_group.tasks.id
  description       = "To Discord, whose voice servers have any address and port, and to AWS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

resource "aws_vpc_security_group_ingress_rule" "alb" {
  security_group_id            = local.audio.sg_alb_id
  description                  = "From the bot to the audio service"
  referenced_security_group_id = aws_security_group.tasks.id
  ip_protocol                  = "tcp"
  from_port                    = local.audio.alb_port
  to_port                      = local.audio.alb_port
}

data "aws_iam_policy_document" "task" {
  source_policy_documents = [module.guilds.policy]

  statement {
    sid       = "ReadSongs"
    actions   = ["s3:GetObject"]
    resources = ["${local.audio.s3_bucket_arn}/audio/*", "${local.audio.s3_bucket_arn}/growing/*"]
  }
  statement {
    # Without it a missing song is "forbidden" in place of "not there".
    sid       = "SeeWhatIsMissing"
    actions   = ["s3:ListBucket"]
    resources = [local.audio.s3_bucket_arn]
  }
  statement {
    sid       = "AskForSongs"
    actions   = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage"]
    resources = [local.audio.requests_queue_arn]
  }
  statement {
    sid = "HearStatuses"
    # CreateTopic is how the SDK asks for a topic's address by its name.
    actions = [
      "sns:CreateTopic",
      "sns:GetTopicAttributes",
      "sns:ListSubscriptionsByTopic",
      "sns:SetSubscriptionAttributes",
      "sns:Subscribe",
    ]
    resources = [local.audio.status_topic_arn, local.audio.progress_topic_arn]
  }
  statement {
    sid       = "EndItsSubscriptions"
    actions   = ["sns:Unsubscribe"]
    resources = ["${local.audio.status_topic_arn}:*", "${local.audio.progress_topic_arn}:*"]
  }
  statement {
    sid = "UseItsQueues"
    actions = [
      "sqs:ChangeMessageVisibility",
      "sqs:CreateQueue",
      "sqs:DeleteMessage",
      "sqs:DeleteQueue",
      "sqs:GetQueueAttributes",
      "sqs:GetQueueUrl",
      "sqs:ReceiveMessage",
      # What is handed back is sent again, so that the delivery is not counted.
      "sqs:SendMessage",
      "sqs:SetQueueAttributes",
    ]
    resources = [local.own_queues]
  }
}

module "service" {
  source            = "../../modules/service"
  name              = local.name
  region            = var.aws_region
  account_id        = local.account_id
  cluster_arn       = local.audio.ecs_cluster_arn
  cluster_name      = local.audio.ecs_cluster_name
  container_name    = "butakero_bot"
  repository_url    = module.registry.url
  repository_arn    = module.registry.arn
  image_digest      = var.image_digest
  container_port    = var.container_port
  health_path       = "/livez"
  cpu               = 256
  memory            = 512
  cpu_architecture  = var.cpu_architecture
  secret_name       = module.secret.name
  secret_arn        = module.secret.arn
  task_policy       = data.aws_iam_policy_document.task.json
  subnet_ids        = local.audio.task_subnet_ids
  security_group_id = aws_security_group.tasks.id
  assign_public_ip  = local.audio.assign_public_ip
  desired_count     = 1

  # A second bot with the same token would answer each command twice: the old one ends before the new one starts.
  minimum_healthy_percent = 0
  maximum_percent         = 100

  environment = {
    MESSAGING_BACKEND    = "sqs"
    BOT_DATABASE_BACKEND = "dynamodb"
    STORAGE_BACKEND      = "s3"
    # The name of its groups, and so of its queues: a new task goes on with the old one's.
    INSTANCE_ID                   = "bot"
    BOT_HTTP_PORT                 = tostring(var.container_port)
    AUDIO_PROCESSOR_URL           = local.audio.alb_url
    S3_BUCKET_NAME                = local.audio.s3_bucket_name
    DYNAMODB_TABLE_BOT            = module.guilds.name
    SQS_BOT_DOWNLOAD_REQUESTS_URL = local.audio.requests_queue_url
    SNS_BOT_DOWNLOAD_STATUS_ARN   = local.audio.status_topic_arn
    TOPIC_DOWNLOAD_STATUS         = local.audio.status_topic_name
    TOPIC_DOWNLOAD_PROGRESS       = local.audio.progress_topic_name
  }
}
