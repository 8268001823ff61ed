"""Where media records are kept: one port, and `open_repository` that chooses its adapter by settings."""
