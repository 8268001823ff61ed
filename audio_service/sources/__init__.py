"""Where media comes from: resolving what somebody typed, and fetching it safely in child processes."""
