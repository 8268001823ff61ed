"""What the plugins of `tests/` promise, on small suites that a pytest of their own runs."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.selection import LONGEST, rank_of
from tests.servers.reaper import child_environment
from tests.waiting import patience, time_factor, until

ROOT = Path(__file__).parents[2]
QUIET = ("-o", "asyncio_default_fixture_loop_scope=function")
pytestmark = pytest.mark.slow


class Suite:
    """A directory with tests, and the plugins under test."""

    def __init__(self, directory: Path, *plugins: str) -> None:
        self.directory = directory
        self.plugins = plugins
        self.write("conftest.py", "")

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(textwrap.dedent(text))

    def run(self, *arguments: str) -> tuple[int, str]:
        """Return the exit code and what was printed."""
        plugins = [part for plugin in self.plugins for part in ("-p", plugin)]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", ".", *QUIET, *plugins, *arguments],
            cwd=self.directory,
            env=child_environment() | {"PYTHONPATH": str(ROOT)},
            check=False,
            capture_output=True,
            text=True,
            timeout=patience(120),
        )
        return done.returncode, done.stdout + done.stderr


class TestCompleteness:
    @pytest.fixture
    def suite(self, tmp_path: Path) -> Suite:
        suite = Suite(tmp_path, "tests.completeness", "no:randomly")
        suite.write("test_a.py", "def test_one(): pass\ndef test_two(): pass\n")
        suite.write("test_b.py", "import pytest\ndef test_three(): pass\ndef test_left_out(): pytest.skip('here')\n")
        return suite

    @pytest.mark.parametrize("workers", [(), ("-n", "2", "--dist", "loadfile")], ids=["alone", "on workers"])
    def test_a_whole_run_passes(self, suite: Suite, workers: tuple[str, ...]) -> None:
        code, said = suite.run(*workers)
        assert (code, "incomplete run" in said) == (0, False), said

    @pytest.mark.parametrize("workers", [(), ("-n", "2", "--dist", "loadfile")], ids=["alone", "on workers"])
    def test_tests_that_are_lost_fail_the_run_and_are_named(self, suite: Suite, workers: tuple[str, ...]) -> None:
        suite.write(
            "conftest.py",
            """
            def pytest_runtest_protocol(item, nextitem):
                return True if item.name == "test_two" else None
            """,
        )
        code, said = suite.run(*workers)
        assert code == 1, said
        assert "4 tests were collected and 1 of them have no outcome" in said
        assert "MISSING test_a.py::test_two" in said

    def test_a_worker_whose_runner_crashes_fails_the_run(self, suite: Suite) -> None:
        suite.write(
            "conftest.py",
            """
            def pytest_runtest_protocol(item, nextitem):
                if item.name == "test_two":
                    raise RuntimeError("the runner breaks")
            """,
        )
        code, said = suite.run("-n", "2", "--dist", "loadfile")
        assert code != 0, said
        assert "INTERNALERROR" in said
        assert "MISSING test_a.py::test_two" in said

    def test_a_worker_that_dies_fails_the_run(self, suite: Suite) -> None:
        suite.write("test_c.py", "import os\ndef test_dies(): os._exit(0)\ndef test_after(): pass\n")
        code, said = suite.run("-n", "2", "--dist", "loadfile", "--max-worker-restart", "0")
        assert code == 1, said
        assert "MISSING test_c.py::test_after" in said

    def test_a_run_in_which_all_are_skipped_fails(self, suite: Suite) -> None:
        code, said = suite.run("-k", "left_out")
        assert code == 1, said
        assert "every test was skipped" in said

    def test_a_run_that_was_told_to_stop_early_names_nothing(self, suite: Suite) -> None:
        suite.write("test_0.py", "def test_first(): assert False\n")
        code, said = suite.run("-x")
        assert (code, "MISSING" in said) == (1, False), said


class TestFailedFixtures:
    @pytest.fixture
    def suite(self, tmp_path: Path) -> Suite:
        suite = Suite(tmp_path, "tests.failed_fixtures", "no:xdist", "no:randomly")
        suite.write("test_it.py", "\n".join(f"def test_{number}(server): pass" for number in range(5)))
        return suite

    def conftest(self, failures: int, scope: str = "session") -> str:
        return f"""
            import pytest
            attempts = []
            @pytest.fixture(scope="{scope}")
            def server():
                attempts.append(1)
                if len(attempts) <= {failures}:
                    raise RuntimeError(f"attempt {{len(attempts)}} failed")
                yield
            """

    def test_a_start_that_fails_once_costs_one_test(self, suite: Suite) -> None:
        suite.write("conftest.py", self.conftest(1))
        code, said = suite.run()
        assert code == 1
        assert re.search(r"4 passed, 1 error", said), said

    def test_a_start_that_goes_on_failing_is_tried_twice_and_told_in_one_line(self, suite: Suite) -> None:
        suite.write("conftest.py", self.conftest(100))
        code, said = suite.run()
        assert code == 1
        assert re.search(r"5 errors", said), said
        assert said.count("raise RuntimeError") == 2
        again = "a fixture failed, as for test_it.py::test_1: RuntimeError: attempt 2 failed"
        assert len(re.findall(f"^{again}$", said, re.MULTILINE)) == 3

    def test_a_skip_is_kept(self, suite: Suite) -> None:
        suite.write("conftest.py", self.conftest(100).replace("raise RuntimeError", "pytest.skip"))
        _, said = suite.run("-rs")
        assert "5 skipped" in said
        assert "attempt 2" not in said


class TestSelection:
    def test_tests_of_one_directory_stay_together_in_the_order_of_their_seed(self, tmp_path: Path) -> None:
        suite = Suite(tmp_path, "tests.selection")
        for name in ("a", "b", "c"):
            for number in range(4):
                (suite.directory / name).mkdir(exist_ok=True)
                suite.write(f"{name}/test_{name}{number}.py", "def test_one(): pass\ndef test_two(): pass\n")

        def order(seed: int) -> list[str]:
            code, said = suite.run("--collect-only", "--import-mode=importlib", "--randomly-seed", str(seed))
            assert code == 0, said
            return [line for line in said.splitlines() if "::" in line]

        first, second, third = order(1), order(1), order(2)
        assert first == second
        assert sorted(first) == sorted(third)
        assert first != third
        directories = [line.partition("/")[0] for line in first]
        assert (
            len([name for name, after in zip(directories, [*directories[1:], ""], strict=True) if name != after]) == 3
        )

    def test_the_longest_files_come_first(self) -> None:
        paths = [ROOT / "tests" / name for name in LONGEST]
        assert all(path.is_file() for path in paths)
        assert sorted([Path(__file__), *reversed(paths)], key=rank_of) == [*paths, Path(__file__)]

    def test_the_unit_tests_have_none_that_asks_a_server(self) -> None:
        places = ["tests/contract", "tests/unit/audio_service/test_retention.py", "tests/unit/common/broker"]
        found: dict[str, set[str]] = {}
        for marker in ("server", "not server"):
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "pytest",
                    "-q",
                    "--collect-only",
                    "-m",
                    marker,
                    *places,
                    "tests/e2e/test_cli.py",
                ],
                cwd=ROOT,
                check=False,
                capture_output=True,
                text=True,
                timeout=patience(120),
            )
            found[marker] = {line for line in done.stdout.splitlines() if "::" in line}
        engines = re.compile(r"\[(mongodb|kafka|ministack)\b|test_repository_agreement|broker/kafka/test_outage|e2e/")
        assert any("[sqlite" in line for line in found["not server"])
        assert not [line for line in found["not server"] if engines.search(line)]
        assert {line for line in found["server"] if "[mongodb" in line}
        assert not [line for line in found["server"] if "[sqlite" in line or "[embedded" in line]


class TestWaiting:
    async def test_a_limit_is_scaled_and_says_what_was_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TEST_TIME_FACTOR", "3")
        assert patience(10) == 30

        def never() -> bool:
            return False

        with pytest.raises(TimeoutError, match=r"not within 0 s: .*never \(.*test_test_runs.py:\d+\)$"):
            await until(never, seconds=0.01)

    async def test_a_time_out_of_the_condition_itself_comes_out_as_it_is(self) -> None:
        def late() -> bool:
            raise TimeoutError("its own")

        with pytest.raises(TimeoutError, match=r"^its own$"):
            await until(late)

    def test_without_a_setting_a_busy_machine_has_longer_limits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TEST_TIME_FACTOR", raising=False)
        monkeypatch.setattr("os.cpu_count", lambda: 2)
        monkeypatch.setattr("os.getloadavg", lambda: (40.0, 1.0, 1.0))
        assert time_factor() >= 20
