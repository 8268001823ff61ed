"""Media sources: resolving queries, and fetching media in child processes."""
