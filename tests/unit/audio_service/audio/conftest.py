from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this session's media files are made; equal files are made once."""
    return tmp_path_factory.mktemp("media")
