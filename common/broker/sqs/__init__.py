"""The broker on Amazon SQS and SNS. Guarantees and design: docs/adr/0028-sqs.md."""
