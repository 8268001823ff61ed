output "name" {
  value = aws_s3_bucket.this.bucket
  # Before the policy stands, a load balancer that writes its logs is refused.
  depends_on = [aws_s3_bucket_policy.access]
}

output "arn" {
  value = aws_s3_bucket.this.arn
}

output "upload_origins" {
  value = flatten([for rules in aws_s3_bucket_cors_configuration.this : [for rule in rules.cors_rule : rule.allowed_origins]])
}
