output "name" {
  value = aws_dynamodb_table.this.name
}

output "arn" {
  value = aws_dynamodb_table.this.arn
}

output "policy" {
  description = "IAM policy document, as JSON, of a program that uses the table."
  value       = data.aws_iam_policy_document.use.json
}
