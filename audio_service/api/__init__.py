"""The HTTP API: questions and answers. It never starts a download."""
