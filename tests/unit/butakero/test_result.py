from __future__ import annotations

from dataclasses import replace

import pytest

from butakero.result import stored_path
from tests.unit.butakero.conftest import CapturedShell


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"storage_backend": "s3", "s3_bucket_name": "songs"}, "s3://songs/audio/id.dca"),
        ({"local_storage_path": "/srv/songs"}, "/srv/songs/audio/id.dca"),
    ],
)
def test_a_song_is_shown_where_it_lies(captured: CapturedShell, changes: dict[str, str], where: str) -> None:
    settings = captured.shell.settings
    settings = type(settings).model_validate({**settings.model_dump(), **changes})
    assert stored_path(replace(captured.shell, settings=settings), "audio/id.dca") == where
