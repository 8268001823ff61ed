output "name" {
  value = aws_s3_bucket.this.bucket
  # Before the policy stands, a load balancer that writes its logs is refused.
  depends_on = [aws_s3_bucket_policy.access]
}

output "arn" {
  value = aws_s3_bucket.this.arn
}
