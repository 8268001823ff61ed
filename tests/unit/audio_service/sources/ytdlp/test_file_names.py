"""The names that servers give to files."""

from __future__ import annotations

import pytest

from audio_service.sources.ytdlp.transfers import file_name


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("", ""),
        ("inline", ""),
        ('attachment; filename="Dua Lipa - New Rules.mp3"', "Dua Lipa - New Rules"),
        ("attachment; filename=song.mp3", "song"),
        ("attachment; filename*=UTF-8''Coraz%C3%B3n%20%C3%91and%C3%BA.ogg", "Corazón Ñandú"),
        ('attachment; filename="../../etc/passwd.mp3"', "passwd"),
        ('attachment; filename="C:\\\\Music\\\\song.mp3"', "song"),
        ('attachment; filename=".mp3"', ".mp3"),
    ],
)
def test_the_name_is_without_folders_and_suffix(disposition: str, name: str) -> None:
    assert file_name(disposition) == name
