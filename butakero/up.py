"""`butakero up`: runs the audio service on this machine, from its start to Ctrl-C.

The terminal shows the command's own output; the service logs to a file whose path is shown. With a song, one download
request is sent through the queue, as any client would send it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
from rich.status import Status

from butakero.discord_bot import discord_bot
from butakero.layout import print_facts
from butakero.request import follow
from butakero.result import show_result
from butakero.screen import plain, safe_json
from butakero.service import (
    STOP_MARGIN_SECONDS,
    PortTaken,
    Service,
    ServiceDied,
    base_url,
    open_port,
    run_service,
    wait_until_ready,
)
from butakero.service_log import show_last_log_lines
from butakero.shell import Shell
from butakero.signals import Signals, StopRequested, open_signals
from butakero.texts import (
    ANSWER,
    API,
    ASKING,
    CHAT,
    CRASHED,
    DEMO_FAILED,
    DEMO_SONG,
    DIED_AT_START,
    DOCS,
    HEALTH,
    HOST_UNUSABLE,
    KILLED,
    LOGS,
    METRICS,
    NO_ANSWER,
    PAGE,
    PORT_IN_USE,
    PRESS_CTRL_C,
    RUNNING,
    STARTING,
    STOPPED,
    STOPPING,
    STUCK_AT_START,
    TRY_IT,
)
from common.errors import AppError
from common.messages.downloads import DownloadRequest
from common.tasks import running_alongside

EXIT_ERROR = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of `up`. `song` is requested once; `demo` provides one when there is none."""

    song: str = ""
    demo: bool = False
    start_limit_seconds: float = 60.0
    program: str = "butakero"


def run_up(shell: Shell, plan: Plan) -> int:
    """Run the service until a signal. Returns the exit code: 0 after a clean stop, else the service's own or 1."""
    host = shell.settings.http_host
    try:
        listener = open_port(host, shell.settings.http_port)
    except PortTaken:
        shell.err.print(shell.say(PORT_IN_USE, host=host, port=shell.settings.http_port), style="red")
        return EXIT_ERROR
    except OSError as exc:
        words = shell.say(HOST_UNUSABLE, host=host, port=shell.settings.http_port, reason=exc.strerror)
        shell.err.print(words, style="red")
        return EXIT_ERROR
    with listener:
        return asyncio.run(_up(shell, plan, listener))


async def _up(shell: Shell, plan: Plan, listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    base = base_url(shell.settings.http_host, port)
    async with AsyncExitStack() as stack:
        signals = stack.enter_context(open_signals())
        environment = {"HTTP_PORT": str(port)}
        song = plan.song
        if plan.demo and _may_turn_uploads_on(shell):
            environment["UPLOADS"] = "true"
        if plan.demo and not song:
            song, allow = _open_demo(stack, shell)
            environment["NETWORK_ALLOW"] = allow
        service = await stack.enter_async_context(run_service(environment, listener=listener))
        try:
            async with running_alongside(signals.watch()):
                await _start(shell, service, base, plan.start_limit_seconds)
                async with running_alongside(service.watch()), discord_bot(shell, base, signals.forced):
                    await _serve(shell, plan, service, base, song)
        except StopRequested:
            return await _stop(shell, service, signals)
        except ServiceDied as exc:
            show_last_log_lines(shell, service, CRASHED, code=exc.code)
            return exc.code
        except _NotStarted as exc:
            return exc.code
    raise AssertionError("the service is watched until something ends it")


class _NotStarted(Exception):
    """The service did not become ready; its last log lines are printed already."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


async def _start(shell: Shell, service: Service, base: str, limit_seconds: float) -> None:
    """Wait for the service. Raises _NotStarted."""
    try:
        with _waiting(shell):
            await wait_until_ready(service, f"{base}/readyz", limit_seconds)
    except ServiceDied as exc:
        show_last_log_lines(shell, service, DIED_AT_START, code=exc.code)
        raise _NotStarted(exc.code) from exc
    except TimeoutError as exc:
        show_last_log_lines(shell, service, STUCK_AT_START, seconds=limit_seconds)
        raise _NotStarted(EXIT_ERROR) from exc


async def _serve(shell: Shell, plan: Plan, service: Service, base: str, song: str) -> None:
    """Request the song if there is one, print the addresses, and wait until cancelled."""
    shell.out.print(shell.say(RUNNING), style="bold green")
    media_id = ""
    if song:
        shell.out.print()
        try:
            media_id = await _ask_once(shell, base, song)
        except AppError as exc:
            shell.err.print(f"{exc.message(shell.locale)} ({exc.code}: {exc.detail})", style="red")
        if not media_id:
            shell.out.print(shell.say(DEMO_FAILED))
    _show_addresses(shell, plan, service, base, media_id)
    await asyncio.get_running_loop().create_future()


async def _ask_once(shell: Shell, base: str, song: str) -> str:
    """Request the song through the queue and print the API's record of it. Returns its id, "" when it failed."""
    request = DownloadRequest.new(song, user_id="butakero")
    shell.out.print(shell.say(ASKING, song=plain(song)))
    status = await follow(shell, shell.out, request)
    await show_result(shell, request, status)
    if not status.success:
        return ""
    path = f"/api/v1/media/?video_id={status.video_id}"
    shell.out.print()
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
            answer = await http.get(base + path)
        shell.out.print(shell.say(ANSWER, path=path))
        shell.out.print(safe_json(answer.json()), soft_wrap=True)
    except (httpx.HTTPError, ValueError) as exc:
        shell.err.print(shell.say(NO_ANSWER, path=path, reason=type(exc).__name__), style="red")
    return status.video_id


def _show_addresses(shell: Shell, plan: Plan, service: Service, base: str, media_id: str) -> None:
    api = f"{base}/api/v1/media/?video_id={media_id}" if media_id else f"{base}/api/v1"
    uploads = shell.settings.uploads or (plan.demo and _may_turn_uploads_on(shell))
    chat = [(shell.say(CHAT), f"{base}/chats/demo")] if uploads else []
    shell.out.print()
    print_facts(
        shell.out,
        [
            (shell.say(PAGE), f"{base}/"),
            *chat,
            (shell.say(API), api),
            (shell.say(DOCS), f"{base}/docs"),
            (shell.say(HEALTH), f"{base}/api/v1/health"),
            (shell.say(METRICS), f"{base}/metrics"),
            (shell.say(LOGS), str(service.log_path)),
        ],
    )
    shell.out.print()
    shell.out.print(shell.say(TRY_IT, command=f"{plan.program} request '…'"))
    shell.out.print(shell.say(PRESS_CTRL_C))


async def _stop(shell: Shell, service: Service, signals: Signals) -> int:
    """Let the service drain. Writing to a closed terminal fails, which must not prevent the drain."""
    with contextlib.suppress(OSError):
        shell.out.print(f"\n{shell.say(STOPPING)}")  # the terminal shows ^C where the cursor is
    grace_seconds = shell.settings.drain_seconds + STOP_MARGIN_SECONDS
    in_time = await service.stop(grace_seconds, signals.forced)
    with contextlib.suppress(OSError):
        if in_time:
            shell.out.print(shell.say(STOPPED))
        else:
            shell.err.print(shell.say(KILLED), style="yellow")
    return 0 if in_time else EXIT_ERROR


def _may_turn_uploads_on(shell: Shell) -> bool:
    """Whether the demo shows audio messages: unless the user decided on UPLOADS."""
    return "uploads" not in shell.settings.model_fields_set


def _open_demo(stack: AsyncExitStack, shell: Shell) -> tuple[str, str]:
    """Serve the demo's song. Returns its URL, and NETWORK_ALLOW with only that address added to the user's own."""
    from butakero.demo_site import open_demo_site  # noqa: PLC0415 - PyAV loads slowly, and no other command needs it

    site = stack.enter_context(open_demo_site())
    shell.out.print(shell.say(DEMO_SONG, url=site.url))
    allowed = [entry for entry in (shell.settings.network_allow, site.address) if entry]
    return site.url, ",".join(allowed)


def _waiting(shell: Shell) -> contextlib.AbstractContextManager[object]:
    """Show a spinner at a terminal, one line elsewhere."""
    words = shell.say(STARTING)
    if shell.out.is_terminal:
        return Status(words, console=shell.out)
    shell.out.print(words)
    return contextlib.nullcontext()
