"""What whole-system tests share: a directory of media and a site that serves it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.servers.media_files import make
from tests.servers.media_site import MediaSite, open_media_site


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A directory with one short song."""
    files = tmp_path / "files"
    files.mkdir()
    make("webm_opus", files, seconds=1)
    return files


@pytest.fixture
async def site(media: Path) -> AsyncGenerator[MediaSite]:
    """The directory's site."""
    async with open_media_site(media) as running:
        yield running
