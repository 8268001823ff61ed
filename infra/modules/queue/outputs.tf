output "url" {
  value = aws_sqs_queue.this.url
}

output "arn" {
  value = aws_sqs_queue.this.arn
}

output "name" {
  value = aws_sqs_queue.this.name
}

output "dead_letter_url" {
  value = aws_sqs_queue.dead_letters.url
}

output "dead_letter_arn" {
  value = aws_sqs_queue.dead_letters.arn
}

output "dead_letter_name" {
  value = aws_sqs_queue.dead_letters.name
}
