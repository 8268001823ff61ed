"""The `butakero` command line: starts the services, asks them for songs, looks at what they made."""
