# The function of Lambda that starts a task for each object that arrives, and for each such task that died (ADR 32). Its
# package is made by `make lambda`.

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:a key of our own costs $1 a month and a request per call; AWS's own key encrypts as well
  #checkov:skip=CKV_AWS_338:30 days: as the services' logs
  name              = "/aws/lambda/${var.name}"
  retention_in_days = 30
  tags              = var.log_tags
}

# Events that failed three times: to be looked at, and sent again.
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dlq"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = merge(var.tags, { Name = "${var.name}-dlq" })
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  name               = var.name
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = var.iam_tags
}

data "aws_iam_policy_document" "this" {
  source_policy_documents = [var.policy]

  statement {
    sid       = "WriteTheLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }
  statement {
    sid       = "KeepWhatFailed"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }
  statement {
    sid       = "StartTasks"
    actions   = ["ecs:RunTask"]
    resources = [var.task_definition_arn]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [var.cluster_arn]
    }
  }
  statement {
    sid       = "GiveTasksTheirRoles"
    actions   = ["iam:PassRole"]
    resources = var.task_role_arns
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
  statement {
    sid       = "ReadOwnSecret"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.secret_arn]
  }
}

resource "aws_iam_role_policy" "this" {
  name   = "starter"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.this.json
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_50:its log has a line for each start; traces would cost more than the function
  #checkov:skip=CKV_AWS_115:a limit is taken from the account's; a new account has ten in all
  #checkov:skip=CKV_AWS_117:it speaks to AWS alone, over TLS; in the network it would need a gateway
  #checkov:skip=CKV_AWS_173:the variables are names; secrets come from the secret
  #checkov:skip=CKV_AWS_272:the package is the one whose digest the plan shows
  function_name    = var.name
  description      = "Starts a task for each object that arrives"
  role             = aws_iam_role.this.arn
  filename         = var.package
  source_code_hash = filebase64sha256(var.package)
  handler          = "audio_service.lambdas.handler.handle"
  runtime          = var.runtime
  architectures    = [var.cpu_architecture == "ARM64" ? "arm64" : "x86_64"]
  memory_size      = 512
  timeout          = 60
  tags             = var.tags

  dead_letter_config {
    target_arn = aws_sqs_queue.dead_letters.arn
  }

  environment {
    variables = var.environment
  }

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy.this]
}

resource "aws_lambda_permission" "bucket" {
  statement_id   = "bucket"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.this.function_name
  principal      = "s3.amazonaws.com"
  source_arn     = var.bucket_arn
  source_account = var.account_id
}

resource "aws_s3_bucket_notification" "arrivals" {
  bucket = var.bucket_name

  lambda_function {
    lambda_function_arn = aws_lambda_function.this.arn
    events              = ["s3:ObjectCreated:*"]
    filter_prefix       = "audio_input_raw/"
    filter_suffix       = ".m4a"
  }

  depends_on = [aws_lambda_permission.bucket]
}

resource "aws_cloudwatch_event_rule" "stopped" {
  name        = "${var.name}-stopped"
  description = "Tasks that have stopped"
  tags        = var.tags
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail      = { clusterArn = [var.cluster_arn], lastStatus = ["STOPPED"] }
  })
}

resource "aws_cloudwatch_event_target" "stopped" {
  rule = aws_cloudwatch_event_rule.stopped.name
  arn  = aws_lambda_function.this.arn
}

resource "aws_lambda_permission" "events" {
  statement_id  = "events"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.stopped.arn
}
