output "environment" {
  description = "What the function is told."
  value       = aws_lambda_function.this.environment[0].variables
}

output "dead_letter_queue_name" {
  value = aws_sqs_queue.dead_letters.name
}
