"""Moves the library of the original system into this one."""
