from __future__ import annotations

import pytest

from audio_service.pipelines.registry import PIPELINES, chosen
from audio_service.settings import AudioSettings
from common.settings_errors import SettingsError
from tests.unit.audio_service.worker.echoing import Echo

REGISTRY = {**PIPELINES, "echo": Echo("echo").pipeline}


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("", ["download", "echo"]),
        ("echo", ["echo"]),
        (" echo , download,", ["echo", "download"]),
        ("echo,echo", ["echo"]),
    ],
)
def test_a_process_serves_the_pipelines_that_the_setting_names(setting: str, names: list[str]) -> None:
    assert [pipeline.name for pipeline in chosen(setting, REGISTRY)] == names


def test_an_unknown_pipeline_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError) as caught:
        chosen("downloads", REGISTRY)
    assert str(caught.value) == "PIPELINES: downloads is not one of download, echo"


def test_every_pipeline_has_topics_and_a_name_of_its_own() -> None:
    assert all(name == pipeline.name for name, pipeline in PIPELINES.items())


def test_the_topics_of_all_answers_exist_from_the_start() -> None:
    settings = AudioSettings()
    [downloads] = chosen("", PIPELINES)
    assert set(downloads.answer_topics(settings)) == {settings.topic_download_status, settings.topic_download_progress}
