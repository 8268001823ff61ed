"""Checks of `infra/` without AWS: Terraform itself, at a provider that knows the real one's schema."""
