"""The blob store: one port, and `open_blobs` that chooses its adapter by settings."""
