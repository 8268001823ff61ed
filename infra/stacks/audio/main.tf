# The audio service: its network, store, tables, queues, load balancer, and the tasks behind it. Applied before the bot's
# stack, which reads its outputs; destroyed after it.

data "aws_caller_identity" "here" {}

locals {
  name       = "${var.project_name}-${var.environment}"
  account_id = data.aws_caller_identity.here.account_id
  # Names of buckets are unique in all of AWS; existing set-ups have <project>-storage-<env>.
  bucket_name = "${var.project_name}-storage-${var.environment}"
}

module "network" {
  source = "../../modules/network"
  name   = local.name
  region = var.aws_region
  egress = var.task_egress
  tags   = var.networking_tags
}

# Songs are audio/<id>.dca. growing/ holds what is being written, quarantine/ uploads that were not checked yet.
module "bucket" {
  source             = "../../modules/bucket"
  name               = local.bucket_name
  temporary_prefixes = ["growing/", "quarantine/"]
  upload_origins     = var.uploads ? var.upload_origins : []
  tags               = var.storage_s3_tags
}

module "songs" {
  source              = "../../modules/table"
  name                = "${var.project_name}-songs-${var.environment}"
  deletion_protection = var.deletion_protection
  tags                = merge(var.dynamodb_table_operations_tags, var.dynamodb_table_songs_tag)
  indexes             = { GSI1 = { hash_key = "GSI1PK", range_key = "GSI1SK" } }
}

module "statuses" {
  source = "../../modules/topic"
  name   = "${local.name}-download-status"
  tags   = var.sqs_queue_tag
}

module "progress" {
  source = "../../modules/topic"
  name   = "${local.name}-download-progress"
  tags   = var.sqs_queue_tag
}

module "requests_queue" {
  source = "../../modules/queue"
  name   = "${var.project_name}-download-requests-${var.environment}"
  tags   = var.sqs_queue_tag
}

# For bots that know the one status queue of older set-ups. Ours make a queue of their own for each instance.
module "status_queue" {
  source            = "../../modules/queue"
  name              = "${var.project_name}-download-status-${var.environment}"
  retention_seconds = 3600
  topic_arn         = module.statuses.arn
  subscribed        = var.legacy_status_queue
  tags              = var.sqs_queue_tag
}

# Audio messages, where they are wanted.
module "uploads_queue" {
  count  = var.uploads ? 1 : 0
  source = "../../modules/queue"
  name   = "${local.name}-uploads-requests"
  tags   = var.sqs_queue_tag
}

module "asset_statuses" {
  count  = var.uploads ? 1 : 0
  source = "../../modules/topic"
  name   = "${local.name}-asset-status"
  tags   = var.sqs_queue_tag
}

locals {
  upload_queues = flatten([for queue in module.uploads_queue : [queue.arn, queue.dead_letter_arn]])
  asset_topics  = module.asset_statuses[*].arn
  # Each task hears of messages in a queue of its own, which it makes: their names begin like this.
  listeners_queues = [for topic in module.asset_statuses : "arn:aws:sqs:${var.aws_region}:${local.account_id}:${topic.name}--*"]
  # A work queue's topic ends in .requests; its queue has the same name with dashes.
  upload_settings = var.uploads ? {
    UPLOADS               = "true"
    TOPIC_UPLOAD_REQUESTS = "${local.name}.uploads.requests"
    TOPIC_ASSET_STATUS    = "${local.name}-asset-status"
  } : {}
}

module "secret" {
  source       = "../../modules/secret"
  name         = var.secret_name
  description  = "Settings of the audio service that are secret"
  text         = jsonencode({ YOUTUBE_API_KEY = var.youtube_api_key })
  text_version = var.secret_version
  tags         = var.sm_tags
}

module "registry" {
  source = "../../modules/registry"
  name   = "${local.name}-audio"
  tags   = var.ecr_tags
}

resource "aws_ecs_cluster" "this" {
  name = local.name
  tags = var.ecs_tags

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_security_group" "tasks" {
  name        = "${local.name}-audio-tasks"
  description = "Tasks of the audio service: reached by the load balancer alone"
  vpc_id      = module.network.vpc_id
  tags        = merge(var.security_group_tags, { Name = "${local.name}-audio-tasks" })
}

# Media comes from any host; the service itself refuses addresses that are not public.
resource "aws_vpc_security_group_egress_rule" "world" {
  security_group_id = aws_security_group.tasks.id
  description       = "To the media's hosts and to AWS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

module "alb" {
  source                  = "../../modules/alb"
  name                    = local.name
  bucket_prefix           = local.bucket_name
  vpc_id                  = module.network.vpc_id
  public_subnet_ids       = module.network.public_subnet_ids
  private_subnet_ids      = module.network.private_subnet_ids
  tasks_security_group_id = aws_security_group.tasks.id
  container_port          = var.container_port
  certificate_arn         = var.certificate_arn
  # Behind a NAT gateway the bot comes to an outside load balancer from the gateway's address.
  allowed_cidrs = length(var.allowed_cidrs) == 0 ? {} : merge(
    { for cidr in var.allowed_cidrs : cidr => cidr },
    { for index, cidr in module.network.nat_cidrs : "nat-${index}" => cidr },
  )
  deletion_protection = var.deletion_protection
  tags                = var.alb_tags
  security_group_tags = var.security_group_tags
}

data "aws_iam_policy_document" "statuses" {
  statement {
    sid = "TellStatuses"
    # CreateTopic is how the SDK asks for a topic's address by its name.
    actions   = ["sns:CreateTopic", "sns:GetTopicAttributes", "sns:Publish"]
    resources = concat([module.statuses.arn, module.progress.arn], local.asset_topics)
  }
}

data "aws_iam_policy_document" "task" {
  source_policy_documents = [module.songs.policy, data.aws_iam_policy_document.statuses.json]

  statement {
    sid       = "ListTheStore"
    actions   = ["s3:ListBucket", "s3:ListBucketMultipartUploads"]
    resources = [module.bucket.arn]
  }
  statement {
    sid = "UseTheStore"
    actions = [
      "s3:AbortMultipartUpload",
      "s3:DeleteObject",
      "s3:GetObject",
      "s3:PutObject",
    ]
    resources = [for prefix in ["audio", "growing", "quarantine", "assets"] : "${module.bucket.arn}/${prefix}/*"]
  }
  statement {
    sid       = "ReadCookies"
    actions   = ["s3:GetObject"]
    resources = ["${module.bucket.arn}/yt-cookies.txt"]
  }
  statement {
    sid = "TakeRequests"
    actions = [
      "sqs:ChangeMessageVisibility",
      "sqs:DeleteMessage",
      "sqs:GetQueueAttributes",
      "sqs:GetQueueUrl",
      "sqs:ReceiveMessage",
      "sqs:SendMessage",
    ]
    resources = concat([module.requests_queue.arn, module.requests_queue.dead_letter_arn], local.upload_queues)
  }
  dynamic "statement" {
    for_each = var.uploads ? [1] : []
    content {
      sid       = "HearOfMessages"
      actions   = ["sns:ListSubscriptionsByTopic", "sns:SetSubscriptionAttributes", "sns:Subscribe"]
      resources = local.asset_topics
    }
  }
  dynamic "statement" {
    for_each = var.uploads ? [1] : []
    content {
      sid       = "EndItsSubscriptions"
      actions   = ["sns:Unsubscribe"]
      resources = [for topic in local.asset_topics : "${topic}:*"]
    }
  }
  dynamic "statement" {
    for_each = var.uploads ? [1] : []
    content {
      sid = "UseItsQueues"
      actions = [
        "sqs:ChangeMessageVisibility",
        "sqs:CreateQueue",
        "sqs:DeleteMessage",
        "sqs:DeleteQueue",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
        "sqs:SetQueueAttributes",
      ]
      resources = local.listeners_queues
    }
  }
}

module "service" {
  source             = "../../modules/service"
  name               = "${local.name}-audio"
  region             = var.aws_region
  account_id         = local.account_id
  cluster_arn        = aws_ecs_cluster.this.arn
  cluster_name       = aws_ecs_cluster.this.name
  container_name     = "audio_processor"
  repository_url     = module.registry.url
  repository_arn     = module.registry.arn
  image_digest       = var.image_digest
  container_port     = var.container_port
  health_path        = "/livez"
  cpu                = var.ecs_task_cpu
  memory             = var.ecs_task_memory
  cpu_architecture   = var.cpu_architecture
  secret_name        = module.secret.name
  secret_arn         = module.secret.arn
  task_policy        = data.aws_iam_policy_document.task.json
  subnet_ids         = module.network.task_subnet_ids
  security_group_id  = aws_security_group.tasks.id
  assign_public_ip   = module.network.assign_public_ip
  target_group_arn   = module.alb.target_group_arn
  desired_count      = var.ecs_service_desired_count
  min_capacity       = var.ecs_min_capacity
  max_capacity       = var.ecs_max_capacity
  cpu_threshold      = var.ecs_cpu_threshold
  memory_threshold   = var.ecs_memory_threshold
  backlog_queue_name = module.requests_queue.name
  backlog_per_task   = var.workers_count * 5
  tags               = var.ecs_tags
  log_tags           = var.cloudwatch_tags
  iam_tags           = var.iam_tags

  minimum_healthy_percent = 50
  maximum_percent         = 200

  environment = merge(local.upload_settings, {
    ENVIRONMENT                   = var.environment
    MESSAGING_BACKEND             = "sqs"
    DATABASE_BACKEND              = "dynamodb"
    STORAGE_BACKEND               = "s3"
    HTTP_HOST                     = "0.0.0.0"
    HTTP_PORT                     = tostring(var.container_port)
    S3_BUCKET_NAME                = module.bucket.name
    DYNAMODB_TABLE_SONGS          = module.songs.name
    SQS_BOT_DOWNLOAD_REQUESTS_URL = module.requests_queue.url
    SNS_BOT_DOWNLOAD_STATUS_ARN   = module.statuses.arn
    TOPIC_DOWNLOAD_STATUS         = module.statuses.name
    TOPIC_DOWNLOAD_PROGRESS       = module.progress.name
    SERVICE_MAX_ATTEMPTS          = tostring(var.service_max_attempts)
    SERVICE_TIMEOUT               = tostring(var.service_timeout)
    NUM_WORKERS                   = tostring(var.workers_count)
    FORWARDED_ALLOW_IPS           = module.network.vpc_cidr
  })
}

# Files of the bucket as songs, where they are wanted: a function starts a task for each .m4a under audio_input_raw/.
locals {
  jobs = var.transcode_jobs ? 1 : 0
  # What function and tasks share with the service.
  job_environment = { for name, value in module.service.environment : name => value
  if !contains(["HTTP_HOST", "HTTP_PORT", "NUM_WORKERS", "FORWARDED_ALLOW_IPS"], name) }
}

data "aws_iam_policy_document" "arrivals" {
  statement {
    sid       = "LookForArrivals"
    actions   = ["s3:ListBucket"]
    resources = [module.bucket.arn]
  }
  statement {
    sid       = "ReadArrivals"
    actions   = ["s3:GetObject"]
    resources = ["${module.bucket.arn}/audio_input_raw/*"]
  }
}

data "aws_iam_policy_document" "transcode" {
  source_policy_documents = [data.aws_iam_policy_document.task.json, data.aws_iam_policy_document.arrivals.json]
}

module "transcode" {
  count             = local.jobs
  source            = "../../modules/service"
  is_job            = true
  name              = "${local.name}-transcode"
  region            = var.aws_region
  account_id        = local.account_id
  cluster_arn       = aws_ecs_cluster.this.arn
  cluster_name      = aws_ecs_cluster.this.name
  container_name    = "transcode"
  command           = ["python", "-m", "audio_service.transcode_task"]
  repository_url    = module.registry.url
  repository_arn    = module.registry.arn
  image_digest      = var.image_digest
  cpu               = var.ecs_task_cpu
  memory            = var.ecs_task_memory
  cpu_architecture  = var.cpu_architecture
  secret_name       = module.secret.name
  secret_arn        = module.secret.arn
  task_policy       = data.aws_iam_policy_document.transcode.json
  subnet_ids        = module.network.task_subnet_ids
  security_group_id = aws_security_group.tasks.id
  assign_public_ip  = module.network.assign_public_ip
  tags              = var.ecs_tags
  log_tags          = var.cloudwatch_tags
  iam_tags          = var.iam_tags

  desired_count           = 0
  minimum_healthy_percent = 0
  maximum_percent         = 100
  enable_execute_command  = false

  environment = local.job_environment
}

data "aws_iam_policy_document" "starter" {
  source_policy_documents = [
    module.songs.policy,
    data.aws_iam_policy_document.arrivals.json,
    data.aws_iam_policy_document.statuses.json,
  ]

  statement {
    sid       = "FindRequests"
    actions   = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
    resources = [module.requests_queue.arn, module.requests_queue.dead_letter_arn]
  }
}

module "starter" {
  count               = local.jobs
  source              = "../../modules/starter"
  name                = "${local.name}-starter"
  account_id          = local.account_id
  package             = var.lambda_package
  runtime             = var.lambda_runtime
  cpu_architecture    = var.cpu_architecture
  policy              = data.aws_iam_policy_document.starter.json
  secret_arn          = module.secret.arn
  bucket_name         = module.bucket.name
  bucket_arn          = module.bucket.arn
  cluster_arn         = aws_ecs_cluster.this.arn
  task_definition_arn = module.transcode[0].task_definition_arn
  task_role_arns      = [module.transcode[0].task_role_arn, module.transcode[0].execution_role_arn]
  tags                = var.ecs_tags
  log_tags            = var.cloudwatch_tags
  iam_tags            = var.iam_tags

  # Lambda sets the region itself, and refuses it from others.
  environment = merge(local.job_environment, {
    AWS_SECRET_NAME  = module.secret.name
    CLUSTER_NAME     = aws_ecs_cluster.this.name
    TASK_DEFINITION  = module.transcode[0].task_definition_arn
    CONTAINER_NAME   = module.transcode[0].container.name
    SUBNETS          = join(",", module.network.task_subnet_ids)
    SECURITY_GROUP   = aws_security_group.tasks.id
    ASSIGN_PUBLIC_IP = tostring(module.network.assign_public_ip)
  })
}

module "alarms" {
  source     = "../../modules/alarms"
  name       = local.name
  topic_arn  = var.alarm_topic_arn
  queue_name = module.requests_queue.name
  dead_letter_names = concat(
    [module.requests_queue.dead_letter_name, module.status_queue.dead_letter_name],
    module.starter[*].dead_letter_queue_name,
  )
  load_balancer = module.alb.arn_suffix
  target_group  = module.alb.target_group_arn_suffix
  tags          = var.cloudwatch_tags
}
