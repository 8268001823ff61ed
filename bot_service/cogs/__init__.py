"""Commands: parse, call, reply. No logic."""
