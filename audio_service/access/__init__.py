"""Who may ask the HTTP API what: keys, bearer tokens, limits. Knows nothing of HTTP's routes."""
