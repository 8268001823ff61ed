"""A pytest plugin: a shared fixture that failed is tried once more, and after that each test says so in one line.

pytest itself keeps the failure of a module's, package's or session's fixture and raises it, with the whole traceback,
in each test that wants it: one slow start of a server was 30 long failures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

_ATTEMPTS = 2


class FailedFixtures:
    """The shared fixtures of this process that have failed, and the failures that were reported."""

    def __init__(self) -> None:
        self._attempts: Counter[pytest.FixtureDef[Any]] = Counter()
        self._again: list[tuple[pytest.FixtureDef[Any], Any]] = []
        self._reported: list[tuple[BaseException, str]] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: Any) -> Generator[None, Any, Any]:  # noqa: ANN401 - as pytest has it
        """Note a failure. A skip is none: a program that is missing stays missing."""
        try:
            return (yield)
        except pytest.skip.Exception:
            raise
        except (Exception, pytest.fail.Exception):
            if fixturedef.scope != "function":
                self._attempts[fixturedef] += 1
                if self._attempts[fixturedef] < _ATTEMPTS:
                    self._again.append((fixturedef, request))
            raise

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Forget failures that allow another attempt, so that the next test which wants the fixture makes it."""
        while self._again:
            fixturedef, request = self._again.pop()
            fixturedef.finish(request)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Shorten a failure that was reported for an earlier test."""
        report = yield
        if report.when == "setup" and report.failed and call.excinfo is not None:
            error = call.excinfo.value
            first = next((nodeid for known, nodeid in self._reported if known is error), None)
            if first is None:
                self._reported.append((error, item.nodeid))
            else:
                said = (str(error).splitlines() or [""])[0]
                report.longrepr = f"a fixture failed, as for {first}: {type(error).__name__}: {said}"
        return report


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin."""
    config.pluginmanager.register(FailedFixtures(), "failed fixtures")
