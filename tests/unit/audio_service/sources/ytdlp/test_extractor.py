"""What a child does between its start and its first job, and how it makes room for the job."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import cast

from audio_service.child_main import JobRunner, Pipe, next_job, work_while
from audio_service.children.jobs import JsonObject

# In a process of its own: this one may have imported anything by now. Modules beside the sites' own do not count.
_SECOND_TIME = """
import re, sys
from yt_dlp import YoutubeDL
from audio_service.sources.ytdlp.extractor import warm_up
ydl = YoutubeDL({"quiet": True})
ydl.urlopen = lambda *_: sys.exit("the network was used")
for _ in warm_up(ydl):
    pass
imported, compiled, compile = len(sys.modules), 0, re._compiler.compile
def counted(*arguments):
    global compiled
    compiled += 1
    return compile(*arguments)
re._compiler.compile = counted
for site in ydl._ies.values():
    site.suitable("https://example.org/song")
    list(site.extract_from_webpage(ydl, "https://example.org/song", ""))
print(len(sys.modules) - imported, compiled)
"""


def test_after_it_no_site_is_imported_and_no_pattern_compiled_any_more() -> None:
    done = subprocess.run([sys.executable, "-c", _SECOND_TIME], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules, patterns = map(int, done.stdout.split())
    assert modules == 0
    # Of two thousand; a few sites make theirs anew each time.
    assert patterns < 200


def test_it_stops_after_the_step_in_which_a_job_came_and_goes_on_where_it_was() -> None:
    taken: list[int] = []

    def steps() -> Iterator[None]:
        for number in range(5):
            taken.append(number)
            yield

    upcoming = steps()
    work_while(lambda: len(taken) < 2, upcoming)
    assert taken == [0, 1]
    work_while(lambda: True, upcoming)
    assert taken == [0, 1, 2, 3, 4]
    work_while(lambda: True, upcoming)
    assert taken == [0, 1, 2, 3, 4]


class Holding:
    """A runner whose last job left something."""

    holds = True

    def let_go(self) -> None:
        self.holds = False


class Queue:
    """A pipe: the jobs that come within the time, and the one that comes after it."""

    def __init__(self, *, soon: JsonObject | None, later: JsonObject) -> None:
        self._soon = soon
        self._later = later

    def receive_within(self, _seconds: float) -> JsonObject | None:
        return self._soon

    def receive(self) -> JsonObject:
        return self._later


def test_what_a_job_left_is_let_go_when_the_next_one_does_not_come_soon() -> None:
    soon, later = {"kind": "fetch"}, {"kind": "list"}
    for pipe, job, kept in ((Queue(soon=soon, later=later), soon, True), (Queue(soon=None, later=later), later, False)):
        runner = Holding()
        assert next_job(cast("JobRunner", runner), cast("Pipe", pipe)) is job
        assert runner.holds is kept
