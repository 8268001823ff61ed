"""Logs, traces, metrics, and what must not appear in them."""
