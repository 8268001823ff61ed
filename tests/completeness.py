"""A pytest plugin: a run passes only if every collected test is reported and at least one of them ran.

A worker of xdist that crashes inside the runner loses its tests, and the run would still end with exit code 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

_SHOWN = 50


class Completeness:
    """What was collected and what was reported, in the process that prints (under xdist: the controller)."""

    def __init__(self) -> None:
        self.collected: dict[str, None] = {}
        self.reported: set[str] = set()
        self.ran = False
        self.internal_error = False
        self.stopped = False

    @property
    def missing(self) -> list[str]:
        """Tests without an outcome, in the order of their collection; none if the run was told to stop early."""
        return [] if self.stopped else [nodeid for nodeid in self.collected if nodeid not in self.reported]

    @property
    def all_skipped(self) -> bool:
        """Whether there were tests and each of them was skipped."""
        return bool(self.reported) and not self.ran

    @property
    def failed(self) -> bool:
        """Whether the run must not pass."""
        return bool(self.missing) or self.all_skipped or self.internal_error

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what this process collected."""
        self.collected.update(dict.fromkeys(item.nodeid for item in session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Note what a worker collected."""
        self.collected.update(dict.fromkeys(ids))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note an outcome. A passed set-up or tear-down is none."""
        if report.passed and report.when != "call":
            return
        self.reported.add(report.nodeid)
        self.ran = self.ran or not report.skipped or hasattr(report, "wasxfail")

    def pytest_internalerror(self) -> None:
        """Note a crash of the runner, here or in a worker."""
        self.internal_error = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn a success into a failure."""
        self.stopped = bool(session.shouldstop or session.shouldfail or session.config.getoption("collectonly"))
        if self.failed and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if session.exitstatus == pytest.ExitCode.INTERNAL_ERROR and isinstance(reporter, pytest.TerminalReporter):
            self.pytest_terminal_summary(reporter)  # pytest prints no summary then

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say why the run fails."""
        if not self.failed:
            return
        terminalreporter.section("incomplete run", red=True, bold=True)
        if missing := self.missing:
            terminalreporter.write_line(
                f"{len(self.collected)} tests were collected and {len(missing)} of them have no outcome:", red=True
            )
            for nodeid in missing[:_SHOWN]:
                terminalreporter.write_line(f"MISSING {nodeid}")
            if len(missing) > _SHOWN:
                terminalreporter.write_line(f"... and {len(missing) - _SHOWN} more")
        if self.all_skipped:
            terminalreporter.write_line("every test was skipped", red=True)
        if self.internal_error:
            terminalreporter.write_line("the test runner crashed (INTERNALERROR above)", red=True)


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin in the process that prints."""
    workerinput: Any = getattr(config, "workerinput", None)
    if workerinput is None:
        config.pluginmanager.register(Completeness(), "completeness")
