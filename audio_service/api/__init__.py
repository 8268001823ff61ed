"""The HTTP API of the library. It never starts a download."""
