output "name" {
  value = var.name
}

output "task_role_arn" {
  value = aws_iam_role.task.arn
}

output "execution_role_arn" {
  value = aws_iam_role.execution.arn
}

output "task_definition_arn" {
  value = aws_ecs_task_definition.this.arn
}

output "log_group_name" {
  value = aws_cloudwatch_log_group.this.name
}

output "container" {
  description = "The container of the task, as ECS gets it."
  value       = jsondecode(aws_ecs_task_definition.this.container_definitions)[0]
}

output "desired_count" {
  description = "Tasks at first; null: nothing runs yet."
  value       = one(aws_ecs_service.this[*].desired_count)
}

output "minimum_healthy_percent" {
  value = one(aws_ecs_service.this[*].deployment_minimum_healthy_percent)
}

output "maximum_percent" {
  value = one(aws_ecs_service.this[*].deployment_maximum_percent)
}

output "scaled" {
  value = local.scaled
}

output "environment" {
  description = "The settings that it was given."
  value       = var.environment
}
