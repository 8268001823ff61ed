"""discord.py imports `audioop`, which Python 3.11 and 3.12 warn about; a warning would fail the run."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import discord  # noqa: F401 - imported here so that nobody's first import warns
