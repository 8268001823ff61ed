"""`butakero request`: requests one song and shows its progress until the status arrives.

The request is queued before the wait begins: a time-out or Ctrl-C ends the wait, never the request.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx
from rich.console import Console

from butakero.ask import request_song
from butakero.progress import open_view
from butakero.result import show_result
from butakero.screen import plain, safe_json
from butakero.service import base_url
from butakero.shell import Shell
from butakero.texts import ASKING, NO_CONSUMER, STOPPED_WAITING, TIMED_OUT
from common.broker import open_broker
from common.messages.downloads import DownloadRequest, ProgressEvent, StatusEvent
from common.tasks import running_alongside, time_limit

EXIT_ERROR = 1
EXIT_TIMED_OUT = 3
EXIT_INTERRUPTED = 130
_SILENCE_SECONDS = 3.0


def run_request(shell: Shell, request: DownloadRequest, *, timeout_seconds: float, as_json: bool) -> int:
    """Request, wait, print. Returns the exit code: 0 success, 1 error status, 3 timed out waiting, 130 interrupted."""
    screen = shell.err if as_json else shell.out
    try:
        return asyncio.run(_request(shell, screen, request, timeout_seconds=timeout_seconds, as_json=as_json))
    except KeyboardInterrupt:
        shell.err.print(shell.say(STOPPED_WAITING))
        return EXIT_INTERRUPTED


async def _request(
    shell: Shell, screen: Console, request: DownloadRequest, *, timeout_seconds: float, as_json: bool
) -> int:
    screen.print(shell.say(ASKING, song=plain(request.song)))
    try:
        async with time_limit(timeout_seconds):
            status = await follow(shell, screen, request)
    except TimeoutError:
        words = shell.say(TIMED_OUT, seconds=f"{timeout_seconds:g}", request_id=request.request_id)
        shell.err.print(words, style="yellow")
        return EXIT_TIMED_OUT
    if as_json:
        shell.out.print(safe_json(status.model_dump(mode="json")), soft_wrap=True)
    else:
        await show_result(shell, request, status)
    return 0 if status.success else EXIT_ERROR


async def follow(shell: Shell, screen: Console, request: DownloadRequest) -> StatusEvent:
    """Publish the request and show its progress on `screen` until its status arrives.

    Raises:
        BrokerError: the request was not accepted, or the broker stopped answering.
    """
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(open_broker(shell.settings))
        view = stack.enter_context(open_view(screen, shell.locale))
        progressed = asyncio.Event()
        await stack.enter_async_context(running_alongside(_warn_without_consumer(shell, screen, progressed)))

        def on_progress(event: ProgressEvent) -> None:
            progressed.set()
            view.show(event)

        return await request_song(broker, shell.settings, request, on_progress)


async def _warn_without_consumer(shell: Shell, screen: Console, progressed: asyncio.Event) -> None:
    """Without progress for _SILENCE_SECONDS, check whether the audio service answers: the queue does not know."""
    try:
        async with time_limit(_SILENCE_SECONDS):
            await progressed.wait()
    except TimeoutError:
        url = base_url(shell.settings.http_host, shell.settings.http_port)
        if not await _answers(f"{url}/livez"):
            screen.print(shell.say(NO_CONSUMER, url=url), style="yellow")


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=2) as http:
            await http.get(url)
    except httpx.HTTPError:
        return False
    return True
