# The load balancer of the audio service. It is internal, reached by the bot's security group alone, unless
# `allowed_cidrs` names addresses outside. With a certificate it speaks TLS, and HTTP leads there.

locals {
  internal = length(var.allowed_cidrs) == 0
  tls      = var.certificate_arn != ""
  port     = local.tls ? 443 : 80
}

data "aws_caller_identity" "here" {}

resource "aws_security_group" "this" {
  name        = "${var.name}-alb"
  description = "Who may reach the load balancer"
  vpc_id      = var.vpc_id
  tags        = merge(var.security_group_tags, { Name = "${var.name}-alb" })
}

resource "aws_vpc_security_group_ingress_rule" "cidrs" {
  for_each          = var.allowed_cidrs
  security_group_id = aws_security_group.this.id
  description       = "From an address of allowed_cidrs"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = local.port
  to_port           = local.port
}

resource "aws_vpc_security_group_egress_rule" "tasks" {
  security_group_id            = aws_security_group.this.id
  description                  = "To the tasks"
  referenced_security_group_id = var.tasks_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = var.container_port
  to_port                      = var.container_port
}

resource "aws_vpc_security_group_ingress_rule" "tasks" {
  security_group_id            = var.tasks_security_group_id
  description                  = "From the load balancer"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = var.container_port
  to_port                      = var.container_port
}

resource "aws_lb" "this" {
  #checkov:skip=CKV2_AWS_20:as at the listener: with a certificate HTTP leads to TLS, else it is internal
  name                       = "${var.name}-alb"
  internal                   = local.internal
  load_balancer_type         = "application"
  security_groups            = [aws_security_group.this.id]
  subnets                    = local.internal ? var.private_subnet_ids : var.public_subnet_ids
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection
  # A song is streamed for as long as it plays.
  idle_timeout = 120
  tags         = merge(var.tags, { Name = "${var.name}-alb" })

  access_logs {
    bucket  = module.logs.name
    enabled = true
  }
}

resource "aws_lb_target_group" "this" {
  #checkov:skip=CKV_AWS_378:the tasks speak HTTP inside the VPC, reached by the load balancer alone
  name                 = "${var.name}-audio"
  port                 = var.container_port
  protocol             = "HTTP"
  target_type          = "ip"
  vpc_id               = var.vpc_id
  deregistration_delay = 30
  tags                 = var.tags

  health_check {
    path                = "/api/v1/health"
    matcher             = "200"
    interval            = 30
    timeout             = 5
    healthy_threshold   = 3
    unhealthy_threshold = 3
  }
}

resource "aws_lb_listener" "http" {
  #checkov:skip=CKV_AWS_2:HTTP leads to TLS where there is a certificate; without one the load balancer is internal
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type             = local.tls ? "redirect" : "forward"
    target_group_arn = local.tls ? null : aws_lb_target_group.this.arn

    dynamic "redirect" {
      for_each = local.tls ? [443] : []
      content {
        port        = redirect.value
        protocol    = "HTTPS"
        status_code = "HTTP_301"
      }
    }
  }
}

resource "aws_lb_listener" "https" {
  count             = local.tls ? 1 : 0
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

# Load balancers write with their own service's right, and to buckets with S3's own key alone.
module "logs" {
  source                = "../bucket"
  name                  = "${var.bucket_prefix}-alb-logs"
  keep_days             = 30
  keep_versions_days    = 1
  load_balancer_logs_of = data.aws_caller_identity.here.account_id
  tags                  = var.tags
}
