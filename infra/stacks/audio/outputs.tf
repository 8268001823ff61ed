output "region" {
  value = var.aws_region
}

output "dynamodb_songs_table" {
  value = module.songs.name
}

output "s3_bucket_name" {
  value = module.bucket.name
}

output "s3_bucket_arn" {
  value = module.bucket.arn
}

output "secret_arn" {
  value = module.secret.arn
}

output "secret_name" {
  value = module.secret.name
}

output "ecs_cluster_name" {
  value = aws_ecs_cluster.this.name
}

output "ecs_cluster_arn" {
  value = aws_ecs_cluster.this.arn
}

output "ecs_service_name" {
  value = module.service.name
}

output "vpc_id" {
  value = module.network.vpc_id
}

output "sg_alb_id" {
  value = module.alb.security_group_id
}

output "public_subnet_ids" {
  value = module.network.public_subnet_ids
}

output "private_subnet_ids" {
  value = module.network.private_subnet_ids
}

output "task_subnet_ids" {
  value = module.network.task_subnet_ids
}

output "assign_public_ip" {
  value = module.network.assign_public_ip
}

output "alb_dns_name" {
  value = module.alb.dns_name
}

output "alb_url" {
  value = module.alb.url
}

output "alb_port" {
  value = module.alb.port
}

output "requests_queue_url" {
  value = module.requests_queue.url
}

output "requests_queue_arn" {
  value = module.requests_queue.arn
}

output "status_queue_url" {
  value = module.status_queue.url
}

output "dead_letter_queue_url" {
  value = module.requests_queue.dead_letter_url
}

output "status_topic_arn" {
  value = module.statuses.arn
}

output "progress_topic_arn" {
  value = module.progress.arn
}

output "ecr_url" {
  value = module.registry.url
}

output "name" {
  value = local.name
}

output "status_topic_name" {
  value = module.statuses.name
}

output "progress_topic_name" {
  value = module.progress.name
}
