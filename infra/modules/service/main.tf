# One service on Fargate, or a job that is started by something else: its task, its two roles, its log group. Secrets reach the program by the name of its secret
# (AWS_SECRET_NAME), which the task's role may read; nothing secret stands in the task definition.

locals {
  environment = merge(var.environment, { AWS_REGION = var.region, AWS_SECRET_NAME = var.secret_name })
  has_image   = var.image_digest != ""
  # A job answers no one, and ends.
  serving = { for key, value in {
    portMappings = [{ containerPort = var.container_port, protocol = "tcp" }]
    healthCheck = {
      command     = ["CMD", "python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:${var.container_port}${var.health_path}', timeout=4)"]
      interval    = 30
      timeout     = 5
      retries     = 3
      startPeriod = 60
    }
  } : key => value if !var.is_job }
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:a key of our own costs $1 a month and a request per call; AWS's own key encrypts as well
  #checkov:skip=CKV_AWS_338:30 days: the logs name people's ids, which are kept no longer than needed
  name              = "/ecs/${var.name}"
  retention_in_days = 30
  tags              = var.log_tags
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }
  }
}

# What ECS does before the program runs: pull its image, open its log.
resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = var.iam_tags
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "PullTheImage"
    actions   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
    resources = [var.repository_arn]
  }
  statement {
    sid = "LogInToTheRegistry"
    # This action knows no resources.
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
  statement {
    sid       = "WriteTheLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }
}

resource "aws_iam_role_policy" "execution" {
  name   = "execution"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

# What the program itself may do.
resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = var.iam_tags
}

data "aws_iam_policy_document" "task" {
  source_policy_documents = [var.task_policy]

  statement {
    sid       = "ReadOwnSecret"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.secret_arn]
  }

  dynamic "statement" {
    for_each = var.enable_execute_command ? [1] : []
    content {
      sid = "LetOperatorsIn"
      # These actions know no resources.
      actions = [
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
      ]
      resources = ["*"]
    }
  }
}

resource "aws_iam_role_policy" "task" {
  name   = "task"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.task.json
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  # Programs write to /data alone: downloads on their way to the store.
  volume {
    name = "data"
  }

  container_definitions = jsonencode([merge(local.serving, {
    name                   = var.container_name
    image                  = local.has_image ? "${var.repository_url}@${var.image_digest}" : "${var.repository_url}:none-yet"
    essential              = true
    readonlyRootFilesystem = true
    user                   = "10001:10001"
    stopTimeout            = 60
    command                = var.command
    environment            = [for key in sort(keys(local.environment)) : { name = key, value = local.environment[key] }]
    mountPoints            = [{ sourceVolume = "data", containerPath = "/data", readOnly = false }]
    linuxParameters        = { initProcessEnabled = true, capabilities = { drop = ["ALL"] } }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.this.name
        "awslogs-region"        = var.region
        "awslogs-stream-prefix" = var.container_name
      }
    }
  })])
}

# Made with the first image: a service that began with no task would stay without, as its count is autoscaling's to say.
resource "aws_ecs_service" "this" {
  count                              = local.has_image && !var.is_job ? 1 : 0
  name                               = var.name
  cluster                            = var.cluster_arn
  task_definition                    = aws_ecs_task_definition.this.arn
  launch_type                        = "FARGATE"
  platform_version                   = "LATEST"
  desired_count                      = var.desired_count
  deployment_minimum_healthy_percent = var.minimum_healthy_percent
  deployment_maximum_percent         = var.maximum_percent
  enable_execute_command             = var.enable_execute_command
  health_check_grace_period_seconds  = var.target_group_arn == "" ? null : 80
  propagate_tags                     = "SERVICE"
  tags                               = var.tags

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_id]
    assign_public_ip = var.assign_public_ip
  }

  dynamic "load_balancer" {
    for_each = var.target_group_arn == "" ? [] : [var.target_group_arn]
    content {
      target_group_arn = load_balancer.value
      container_name   = var.container_name
      container_port   = var.container_port
    }
  }

  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.task]

  # How many run is autoscaling's to say, where there is any.
  lifecycle {
    ignore_changes = [desired_count]
  }
}

# Scaling: on CPU, on memory, and on how many requests wait for each task.

locals {
  scaled = var.max_capacity > 0 && local.has_image
}

resource "aws_appautoscaling_target" "this" {
  count              = local.scaled ? 1 : 0
  service_namespace  = "ecs"
  resource_id        = "service/${var.cluster_name}/${aws_ecs_service.this[0].name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = var.min_capacity
  max_capacity       = var.max_capacity
}

resource "aws_appautoscaling_policy" "utilisation" {
  for_each           = local.scaled ? { ECSServiceAverageCPUUtilization = var.cpu_threshold, ECSServiceAverageMemoryUtilization = var.memory_threshold } : {}
  name               = "${var.name}-${each.key}"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[0].service_namespace
  resource_id        = aws_appautoscaling_target.this[0].resource_id
  scalable_dimension = aws_appautoscaling_target.this[0].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = each.value
    scale_in_cooldown  = 300
    scale_out_cooldown = 60
    predefined_metric_specification {
      predefined_metric_type = each.key
    }
  }
}

resource "aws_appautoscaling_policy" "backlog" {
  count              = local.scaled && var.backlog_queue_name != "" ? 1 : 0
  name               = "${var.name}-backlog"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[0].service_namespace
  resource_id        = aws_appautoscaling_target.this[0].resource_id
  scalable_dimension = aws_appautoscaling_target.this[0].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = var.backlog_per_task
    scale_in_cooldown  = 300
    scale_out_cooldown = 30
    customized_metric_specification {
      metrics {
        id          = "waiting"
        label       = "requests that wait"
        return_data = false
        metric_stat {
          stat = "Sum"
          metric {
            namespace   = "AWS/SQS"
            metric_name = "ApproximateNumberOfMessagesVisible"
            dimensions {
              name  = "QueueName"
              value = var.backlog_queue_name
            }
          }
        }
      }
      metrics {
        id          = "tasks"
        label       = "tasks that run"
        return_data = false
        metric_stat {
          stat = "Average"
          metric {
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"
            dimensions {
              name  = "ClusterName"
              value = var.cluster_name
            }
            dimensions {
              name  = "ServiceName"
              value = aws_ecs_service.this[0].name
            }
          }
        }
      }
      metrics {
        id          = "backlog"
        label       = "requests that wait for each task"
        expression  = "waiting / IF(tasks > 0, tasks, 1)"
        return_data = true
      }
    }
  }
}
