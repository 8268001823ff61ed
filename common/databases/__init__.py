"""Connections to databases, translation of their errors, their health."""
