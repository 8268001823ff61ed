"""The commands of `butakero`, their options and exit codes.

Each command is implemented in its own module. A user's mistake ends in one line, never in a traceback.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from audio_service.access.scopes import SCOPES, known_scopes
from butakero import dlq, keys, library
from butakero.help import speak_spanish, usage_error
from butakero.import_library import Origin, run_import
from butakero.inspect import run_inspect
from butakero.request import run_request
from butakero.screen import open_screen, plain
from butakero.shell import Shell, open_shell, typed, user_locale
from butakero.texts import EMPTY_SONG, IMPORT_USAGE, KEY_NAME_WRONG, SYSTEM_REFUSED, say
from butakero.up import Plan, run_up
from common.errors import AppError
from common.messages.downloads import DownloadRequest

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
library_app = typer.Typer(help="What the library holds.", no_args_is_help=True)
dlq_app = typer.Typer(help="Dead letters: messages that were given up.", no_args_is_help=True)
app.add_typer(library_app, name="library")
keys_app = typer.Typer(help="API keys: who may use the HTTP API.", no_args_is_help=True)
app.add_typer(dlq_app, name="dlq")
app.add_typer(keys_app, name="keys")

_ALL_SCOPES = ["media:read", "sources:read", "requests:cancel"]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]
DlqTopic = Annotated[str, typer.Option("--topic", help="The topic they came from. [default: download requests]")]
KeysFile = Annotated[Path | None, typer.Option("--file", metavar="FILE", help="Instead of API_KEYS_FILE.")]
Position = Annotated[str, typer.Argument(metavar="POSITION", help="As `dlq list` shows it.")]


def run() -> NoReturn:
    """Run the command line and exit."""
    locale = user_locale()
    command = typer.main.get_command(app)
    if locale == "es":
        speak_spanish(command)
    try:
        sys.exit(command.main(standalone_mode=False) or 0)
    except typer.exceptions.TyperException as exc:
        sys.stderr.write(usage_error(exc, locale))
        sys.exit(exc.exit_code)
    except AppError as exc:
        _fail(f"{exc.message(locale)} ({exc.code}: {exc.detail})")
    except OSError as exc:
        reason = f"{exc.strerror or type(exc).__name__}: {exc.filename}" if exc.filename else str(exc)
        _fail(say(SYSTEM_REFUSED, locale, reason=reason))
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(EXIT_INTERRUPTED)


def _on_version(wanted: bool) -> None:  # noqa: FBT001 - typer passes it by position
    if wanted:
        sys.stdout.write(f"butakero {version('butakero-music-bot')}\n")
        raise typer.Exit


@app.callback()
def root(
    *,
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_on_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """A music system for Discord: ask for songs, look at what was made of them."""
    del show_version


@app.command()
def up(
    *,
    demo: Annotated[bool, typer.Option("--demo", help="Make a short song, serve it here and ask for it.")] = False,
    song: Annotated[str, typer.Option(help="Ask for this song once the service is ready.")] = "",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Instead of HTTP_PORT; 0: any free one.")] = None,
    start_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds until a stuck start is given up.")] = 60.0,
) -> None:
    """Start the audio service on this machine; Ctrl-C stops it.

    Exit codes: 0 stopped by a signal; 1 the port is taken or the start got stuck; else the service's own.
    """
    shell = open_shell(http_port=port)
    plan = Plan(song=typed(song), demo=demo, start_limit_seconds=start_timeout, program=_program())
    raise typer.Exit(run_up(shell, plan))


@app.command()
def request(
    song: Annotated[str, typer.Argument(help="A name or a URL.")],
    *,
    provider: Annotated[str, typer.Option(help="Who is to provide it.")] = "youtube",
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the answer.")] = 600.0,
    user: Annotated[str, typer.Option(metavar="ID", help="On whose behalf.")] = "butakero",
    as_json: Annotated[bool, typer.Option("--json", help="Print the status event alone, as JSON.")] = False,
) -> None:
    """Ask for a song and wait for it.

    Exit codes: 0 it is there; 1 it failed (the code says why); 2 wrong usage; 3 no answer within the time-out (the
    request stays queued); 130 Ctrl-C (the request goes on).
    """
    shell = open_shell()
    song = typed(song)
    if not song:
        _refuse(shell, shell.say(EMPTY_SONG))
    wanted = DownloadRequest.new(song, user_id=user, provider_type=provider)
    raise typer.Exit(run_request(shell, wanted, timeout_seconds=timeout, as_json=as_json))


@app.command()
def inspect(file: Annotated[Path, typer.Argument(metavar="FILE", help="A .dca file.")]) -> None:
    """Look into a DCA file and read it through.

    Exit codes: 0 whole; 1 damaged; 2 no DCA file, or not to be read.
    """
    raise typer.Exit(run_inspect(file, user_locale(), open_screen(), open_screen(stderr=True)))


@app.command("import")
def import_library(
    *,
    records: Annotated[
        str, typer.Option("--from", metavar="ADDRESS", help="mongodb://HOST/DATABASE/COLLECTION or dynamodb:TABLE.")
    ],
    files: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder that holds its songs.")] = None,
    bucket: Annotated[str, typer.Option(metavar="NAME", help="The bucket that holds its songs, in place of DIR.")] = "",
    renamed: Annotated[
        str, typer.Option("--map", metavar="OLD=NEW", help="Paths that begin with OLD are looked up below NEW.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and prove everything, and write nothing.")] = False,
) -> None:
    """Move the library of the original bot into this one. It may be repeated; the original stays as it is.

    Exit codes: 0 all of its songs are here; 1 some were left out, each with its reason; 2 wrong usage.
    """
    shell = open_shell()
    old, equals, new = renamed.partition("=")
    if (files is None) == (not bucket) or (renamed and not (old and equals)):
        _refuse(shell, shell.say(IMPORT_USAGE))
    origin = Origin(typed(records), files, bucket, old, new)
    raise typer.Exit(run_import(shell, origin, dry_run=dry_run))


@library_app.command("list")
def library_list(
    *,
    limit: Limit = 50,
    everything: Annotated[bool, typer.Option("--all", help="All of them, failed requests too.")] = False,
) -> None:
    """List the songs, last updated first."""
    raise typer.Exit(library.run_list(open_shell(), limit=None if everything else limit, failed=everything))


@library_app.command("search")
def library_search(text: Annotated[str, typer.Argument(help="Part of a title.")], *, limit: Limit = 10) -> None:
    """Find songs by a part of their title."""
    raise typer.Exit(library.run_search(open_shell(), text, limit=limit))


@dlq_app.command("list")
def dlq_list(topic: Annotated[str, typer.Argument(help="The topic they came from.")] = "") -> None:
    """List the dead letters that were not replayed."""
    shell = open_shell()
    raise typer.Exit(dlq.run_list(shell, _topic(shell, topic)))


@dlq_app.command("show")
def dlq_show(position: Position, *, topic: DlqTopic = "") -> None:
    """Show one dead letter: why it is there, its headers and its body."""
    shell = open_shell()
    raise typer.Exit(dlq.run_show(shell, _topic(shell, topic), position))


@dlq_app.command("replay")
def dlq_replay(
    position: Annotated[str | None, typer.Argument(metavar="[POSITION]", help="As `dlq list` shows it.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    topic: DlqTopic = "",
) -> None:
    """Send dead letters back to the topic they came from."""
    shell = open_shell()
    raise typer.Exit(dlq.run_replay(shell, _topic(shell, topic), position, everything=everything))


def _check_scopes(scopes: list[str]) -> list[str]:
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise typer.BadParameter(f"{unknown[0]!r} is not one of {', '.join(SCOPES)}.")
    return scopes


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Whose it is to be.")],
    *,
    scope: Annotated[
        list[str], typer.Option(help=f"One of {', '.join(SCOPES)}; may be given several times.", callback=_check_scopes)
    ] = _ALL_SCOPES,
    days: Annotated[int, typer.Option(min=0, max=36_500, help="Days until it expires; 0: it does not.")] = 365,
    file: KeysFile = None,
) -> None:
    """Make a key and print it, this once."""
    shell = open_shell()
    if not 0 < len(name.strip()) <= keys.MAX_NAME:
        _refuse(shell, shell.say(KEY_NAME_WRONG, most=keys.MAX_NAME))
    raise typer.Exit(keys.run_create(shell, file, name.strip(), sorted(known_scopes(scope)), days))


@keys_app.command("list")
def keys_list(*, file: KeysFile = None) -> None:
    """List the keys: whose, what for, until when. The keys themselves are not shown."""
    raise typer.Exit(keys.run_list(open_shell(), file))


@keys_app.command("revoke")
def keys_revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")], *, file: KeysFile = None
) -> None:
    """Make a key useless from its next request on."""
    raise typer.Exit(keys.run_revoke(open_shell(), file, key))


def _topic(shell: Shell, named: str) -> str:
    """Return the origin topic; the dead-letter topic's name is accepted too."""
    return named.removesuffix(".dlq") or shell.settings.topic_download_requests


def _program() -> str:
    """Return the command line that starts this program from the working directory."""
    called = Path(sys.argv[0])
    if called.name != "butakero":
        return f"{Path(sys.executable).name} -m butakero"
    return str(called.relative_to(Path.cwd())) if called.is_relative_to(Path.cwd()) else str(called)


def _fail(line: str) -> NoReturn:
    open_screen(stderr=True).print(plain(line), style="red")
    sys.exit(EXIT_ERROR)


def _refuse(shell: Shell, line: str) -> NoReturn:
    shell.err.print(line, style="red")
    raise typer.Exit(EXIT_USAGE)
