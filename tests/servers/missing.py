"""The error of a server whose program is not installed."""

from __future__ import annotations

import pytest


class ProgramMissing(pytest.skip.Exception):
    """A program that the server needs is not installed. A test that meets it is skipped, with this as its reason; a
    benchmark says so and goes on.
    """
