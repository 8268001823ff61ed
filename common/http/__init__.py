"""The HTTP server of both services, and its protocol limits."""
