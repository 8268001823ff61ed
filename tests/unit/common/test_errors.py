from __future__ import annotations

import re
from pathlib import Path

import pytest

import common.errors
from common.errors import (
    AppError,
    InternalError,
    MediaTruncated,
    SourceUnavailable,
    YouTubeApiUnavailable,
    all_errors,
    error_for_code,
)

DRAWN = re.compile(r"─ (\w+) +(\w+) +(yes|no)$", re.MULTILINE)


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    drawn = {name: (code, answer == "yes") for name, code, answer in DRAWN.findall(common.errors.__doc__ or "")}
    real = {cls.__name__: (cls.code, cls.retryable) for cls in all_errors() if cls is not AppError}
    assert {name: drawn.get(name) for name in real} == real


@pytest.mark.parametrize("cls", all_errors())
def test_every_error_speaks_both_languages(cls: type[AppError]) -> None:
    error = cls("10.0.0.7 refused")
    assert error.message("es")
    assert error.message("en")
    assert "10.0.0.7" not in error.message("es") + error.message("en")


@pytest.mark.parametrize("cls", all_errors())
def test_an_error_is_rebuilt_from_its_code(cls: type[AppError]) -> None:
    rebuilt = error_for_code(cls.code, "why")
    assert (rebuilt.code, rebuilt.detail) == (cls.code, "why")


def test_an_error_is_rebuilt_as_retryable_as_it_was() -> None:
    assert isinstance(error_for_code("youtube_api_error", retryable=True), YouTubeApiUnavailable)
    assert isinstance(error_for_code("source_unavailable", retryable=False), SourceUnavailable)
    assert isinstance(error_for_code("source_truncated", retryable=False), MediaTruncated)
    assert not MediaTruncated.retryable
    assert error_for_code("source_truncated").retryable


def test_an_unknown_code_is_an_internal_error() -> None:
    assert isinstance(error_for_code("from_a_newer_version"), InternalError)


def test_the_package_names_no_code_twice_by_accident() -> None:
    sources = [path.read_text() for path in Path(common.errors.__file__).parent.glob("*.py")]
    codes = [code for source in sources for code in re.findall(r'^    code = "(\w+)"', source, re.MULTILINE)]
    assert len(codes) == len(set(codes)) == len({error.code for error in all_errors()} - {"internal_error"})
