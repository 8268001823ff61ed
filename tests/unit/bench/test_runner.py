"""What the runner of the benchmarks keeps of a suite's rows, and what it does with suites that fail or do not exist."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import results
from bench.__main__ import SUITES, load, main, measure, report
from bench.table import Row, compared

OLD = Row("look-up", "1,156 requests/s", "2163 requests/s", "0.53", "≥ 0.6", met=False)


class Works:
    def rows(self, directory: Path, /, *, full: bool) -> Iterator[Row]:
        assert directory.is_dir()
        yield compared("a song", "ms", [2.0, 1.0, 3.0], [40.0, 30.0], better="less", at_least=15)
        yield Row("in full" if full else "in short", "there", "")


class Fails:
    def rows(self, directory: Path, /, *, full: bool) -> Iterator[Row]:  # noqa: ARG002 - a suite's signature
        yield OLD
        raise FileNotFoundError("ffmpeg is not installed")


def quiet() -> Console:
    return Console(file=io.StringIO(), width=150)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def kept(directory: Path, suite: str) -> dict[str, Any]:
    return json.loads((directory / f"{suite}.json").read_text())


def test_a_measured_row_is_kept_as_medians_samples_ratio_and_target(tmp_path: Path) -> None:
    measure("works", Works(), full=False, console=quiet(), directory=tmp_path)
    row = kept(tmp_path, "works")["rows"][0]
    assert row["unit"] == "ms"
    assert row["ours"] == {"text": "2.00 ms", "median": 2.0, "repetitions": 3, "samples": [2.0, 1.0, 3.0]}
    assert row["other"] == {"text": "35.0 ms", "median": 35.0, "repetitions": 2, "samples": [40.0, 30.0]}
    assert row["ratio"] == {"text": "17.50x", "value": 17.5}
    assert (row["target"]["value"], row["met"]) == (15.0, True)


def test_a_row_of_texts_is_kept_with_the_numbers_they_say() -> None:
    row = OLD.recorded()
    assert (row["ours"]["median"], row["other"]["median"]) == (1156.0, 2163.0)
    assert (row["ratio"]["value"], row["target"]["value"], row["met"]) == (0.53, 0.6, False)
    assert Row("a note", "there", "").recorded()["ours"]["median"] is None


@pytest.mark.parametrize(("better", "ratio"), [("more", 4.0), ("less", 0.25)])
def test_a_ratio_above_one_is_in_our_favour_whichever_way_is_better(better: Any, ratio: float) -> None:  # noqa: ANN401 - a Literal
    row = compared("x", "y", [200.0], [50.0], better=better, at_least=1)
    assert row.recorded()["ratio"]["value"] == ratio
    assert row.met is (ratio > 1)


def test_the_file_says_where_when_and_how_it_was_measured(tmp_path: Path) -> None:
    measure("works", Works(), full=True, console=quiet(), directory=tmp_path)
    recorded = kept(tmp_path, "works")
    assert (recorded["pass"], recorded["rows"][1]["name"]) == ("full", "in full")
    assert set(recorded["machine"]) == {
        *("when", "commit", "python", "system", "cpu", "cores", "memory_mb", "load_before", "load_after")
    }


def test_a_suite_that_fails_is_named_and_its_rows_until_then_are_kept(tmp_path: Path) -> None:
    console = quiet()
    outcomes = [measure("fails", Fails(), full=False, console=console, directory=tmp_path)]
    outcomes.append(measure("works", Works(), full=False, console=console, directory=tmp_path))
    assert report(outcomes, console) == 1
    assert "FAILED fails: FileNotFoundError: ffmpeg is not installed" in printed(console)
    assert [row["name"] for row in kept(tmp_path, "fails")["rows"]] == ["look-up"]
    assert len(kept(tmp_path, "works")["rows"]) == 2


def test_a_suite_whose_module_cannot_be_imported_has_failed_like_any_other(tmp_path: Path) -> None:
    outcome = measure("missing", load("missing"), full=False, console=quiet(), directory=tmp_path)
    assert "bench.missing" in outcome.failed


def test_a_missed_target_is_printed_and_is_no_failure(tmp_path: Path) -> None:
    class Slow:
        def rows(self, directory: Path, /, *, full: bool) -> Iterator[Row]:  # noqa: ARG002 - a suite's signature
            yield OLD

    console = quiet()
    assert report([measure("slow", Slow(), full=False, console=console, directory=tmp_path)], console) == 0
    assert "MISSED" in printed(console)


def test_an_unknown_suite_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nonsense"])
    assert f"no suite nonsense: there are {', '.join(SUITES)}" in capsys.readouterr().err


def test_the_last_results_are_a_table_in_markdown(tmp_path: Path) -> None:
    measure("works", Works(), full=False, console=quiet(), directory=tmp_path)
    lines = list(results.markdown(["unmeasured", "works"], tmp_path))
    assert lines[0] == "### works"
    assert "| a song | 2.00 ms | 35.0 ms | 17.50x | at least 15x | met |" in lines
