output "ecr_url" {
  value = module.registry.url
}

output "ecs_service_name" {
  value = module.service.name
}

output "secret_arn" {
  value = module.secret.arn
}

output "dynamodb_table_bot" {
  value = module.guilds.name
}
