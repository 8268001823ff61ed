"""What AWS Lambda runs: an object that arrived in the bucket, or a task that died, becomes a task of ECS (ADR 32)."""
