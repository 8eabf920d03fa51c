"""The command line: `assistant chat`, `ask`, `models`, `doctor`, `serve`."""

from __future__ import annotations

import gc
import json
import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from ._version import __version__
from .errors import AssistantError
from .texts import decoded

if TYPE_CHECKING:
    from .clients.base import Backend, ChatClient
    from .reply import Reply
    from .session import ChatSession

F = TypeVar("F", bound=Callable[..., Any])

# Help and errors name an option's variable too: it may have been set in a file long ago.
_option = partial(click.option, show_envvar=True)
_HELP = {"help_option_names": ["-h", "--help"]}

# What a terminal says of an answer that did not come to an end of its own.
_ENDS = {
    "max_tokens": "the answer reached its longest length: --max-tokens allows more",
    "context_window": "the model's window is full",
    "refusal": "the model declined to go on",
    "guardrail": "a guardrail stepped in",
}


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_where = _options(
    _option(
        "--backend",
        type=click.Choice(["auto", "bedrock", "local"]),
        default="auto",
        show_default=True,
        envvar="ASSISTANT_BACKEND",
        help="Who answers: Amazon Bedrock, or the embedded model; auto takes Bedrock where AWS credentials are found.",
    ),
    _option("--region", envvar="ASSISTANT_REGION", help="AWS region; by default the one of your AWS set-up."),
    _option("--profile", envvar="ASSISTANT_PROFILE", help="AWS profile; by default the one of your AWS set-up."),
)

_how = _options(
    _option("--model", "-m", envvar="ASSISTANT_MODEL", help="Model id, inference profile, ARN or short name."),
    _option("--system", "-s", help="Instructions for the model."),
    _option("--temperature", "-t", type=float, help="0 to 1; by default the model's own."),
    _option("--top-p", type=float, help="0 to 1; by default the model's own."),
    _option("--max-tokens", type=int, help="Longest answer, in tokens."),
    _option("--verbose", "-v", is_flag=True, help="Log the exact request and what it cost, to standard error."),
)


@click.group(context_settings=_HELP)
@click.version_option(__version__)
def cli() -> None:
    """A personal assistant for Amazon Bedrock."""


@cli.command()
@click.argument("question", nargs=-1)
@_where
@_how
@_option("--usage", is_flag=True, help="Say how many tokens it took and what it cost, to standard error.")
def ask(
    question: tuple[str, ...], backend: Backend, region: str | None, profile: str | None, usage: bool, **settings: Any
) -> None:
    """Ask one QUESTION. Text from standard input is added to it: cat notes.txt | assistant ask "summarise it"."""
    text = "\n\n".join(part for part in (" ".join(question), _piped().strip()) if part)
    if not text:
        raise click.UsageError('Ask something: assistant ask "…", or give it a text on standard input.')
    client = _client(backend, region, profile)
    # One question needs no memory, whose modules are a tenth of the way to the first word.
    verbose = settings.pop("verbose")
    reply = _session(client, {**settings, "verbose": True}).stream(text) if verbose else client.stream(text, **settings)
    _show(reply)
    if usage and reply.usage is not None:
        cost = "unknown" if reply.usage.cost is None else f"{reply.usage.cost:.6f} USD"
        counts = f"{reply.usage.total_input_tokens} + {reply.usage.output_tokens} tokens"
        click.echo(f"{reply.model}: {counts}, cost {cost}, {reply.stop_reason}", err=True)
    if reply.stop_reason == "cancelled":
        sys.exit(130)


@cli.command()
@_where
@_how
def chat(backend: Backend, region: str | None, profile: str | None, **settings: Any) -> None:
    """Talk in the terminal. Ctrl-C stops an answer; /retry, /continue, /undo, /reset and /exit do what they say."""
    client = _client(backend, region, profile)
    session = _session(client, settings)
    click.echo(f"{session.model} — {getattr(client, 'description', '')}", err=True)
    click.echo("Ctrl-C stops an answer, Ctrl-D or /exit leaves. /retry /continue /undo /reset", err=True)
    while True:
        try:
            text = input("> ").strip()
        except KeyboardInterrupt:
            click.echo(err=True)
            continue
        except EOFError:
            break
        if text in ("/exit", "/quit"):
            break
        try:
            _answer(session, text)
        except AssistantError as error:
            _say_error(error)


def _piped() -> str:
    """What comes on standard input; empty where a person sits there."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    data = getattr(sys.stdin, "buffer", None)
    return sys.stdin.read() if data is None else decoded(data.read())


def _answer(session: ChatSession, text: str) -> None:
    if not text:
        return
    if text == "/undo":
        removed = session.undo()
        click.echo("(nothing to undo)" if removed is None else f"(forgotten: {removed.user[:60]})", err=True)
    elif text == "/reset":
        session.reset()
        click.echo("(a new conversation)", err=True)
    elif text == "/retry":
        _show(session.retry())
    elif text == "/continue":
        _show(session.continue_())
    elif text.startswith("/") and " " not in text:
        click.echo("Commands: /retry /continue /undo /reset /exit", err=True)
    else:
        _show(session.stream(text))


def _show(reply: Reply) -> None:
    """Prints an answer as it comes, and why it ended early; Ctrl-C ends the answer and nothing else."""
    from .messages import Notice, Retrying, TextDelta

    try:
        for event in reply.events():
            if isinstance(event, TextDelta):
                click.echo(event.text, nl=False, color=True)
            elif isinstance(event, Retrying):
                reason = getattr(event.error, "message", event.error)
                click.echo(f"({reason}; trying again in {event.wait:.0f} s)", err=True)
            elif isinstance(event, Notice):
                click.echo(f"({event.text})", err=True)
    except KeyboardInterrupt:
        reply.cancel()
    except AssistantError:
        click.echo()
        raise
    click.echo()
    why = _ENDS.get(reply.stop_reason or "")
    if why:
        click.echo(f"({why})", err=True)


@cli.command()
@_where
@_option("--json", "as_json", is_flag=True, help="For machines.")
def models(backend: Backend, region: str | None, profile: str | None, as_json: bool) -> None:
    """List the models that can be asked."""
    client = _client(backend, region, profile)
    found = client.models()
    notice = getattr(getattr(client, "listing", lambda: None)(), "notice", None)
    if notice is not None:
        click.echo(f"({notice.text})", err=True)
    if as_json:
        from dataclasses import asdict

        click.echo(json.dumps([asdict(info) for info in found], indent=2, ensure_ascii=False))
        return
    rows = [("PROVIDER", "MODEL", "CONTEXT", "USD/M IN", "USD/M OUT", "")]
    for info in found:
        price = info.price
        scale = price.regional if price and info.regional else 1
        rows.append(
            (
                info.provider,
                info.id,
                f"{info.context_window:,}" if info.context_window else "?",
                f"{price.input * scale:g}" if price else "?",
                f"{price.output * scale:g}" if price else "?",
                "LEGACY" if info.legacy else "",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@cli.command()
@_where
@_option("--model", "-m", envvar="ASSISTANT_MODEL", help="The model to try.")
@_option("--data-dir", type=click.Path(file_okay=False), envvar="ASSISTANT_DATA_DIR", help="Where chats are kept.")
@_option("--lang", type=click.Choice(["es", "en"]), help="By default the language of your locale.")
def doctor(**options: Any) -> None:
    """Say what works here and what does not, with the next step for each. Leaves with 1 where something fails."""
    from .doctor import diagnose, status_of

    records = diagnose(**options)
    marks = {"ok": "✓", "warn": "!", "fail": "✗"}
    for record in records:
        click.echo(f"{marks[record.status]} {record.title}: {record.text}")
        if record.next_step and record.status != "ok":
            for line in record.next_step.splitlines():
                click.echo(f"    → {line}")
    sys.exit(status_of(records))


@cli.command(context_settings=_HELP)
@_where
@_option("--host", default="127.0.0.1", show_default=True, envvar="ASSISTANT_HOST", help="Address to listen on.")
@_option(
    "--port",
    type=click.IntRange(0, 65535),
    default=7860,
    show_default=True,
    envvar="ASSISTANT_PORT",
    help="0: any free.",
)
@_option("--share", is_flag=True, envvar="ASSISTANT_SHARE", help="A public link; never without a login.")
@_option("--auth", metavar="USER:PASSWORD", envvar="ASSISTANT_AUTH", help="Ask for this login.")
@_option(
    "--auth-file",
    type=click.Path(dir_okay=False),
    envvar="ASSISTANT_AUTH_FILE",
    help="Users who may sign in, a line each, as `assistant hash-password` makes them.",
)
@_option(
    "--user-header",
    metavar="NAME",
    envvar="ASSISTANT_USER_HEADER",
    help="A header in which a proxy names the user whom it has signed in, as X-Forwarded-User.",
)
@_option(
    "--proxy-secret",
    envvar="ASSISTANT_PROXY_SECRET",
    help="What the proxy sends as X-Assistant-Proxy-Secret; needed for --user-header unless on 127.0.0.1.",
)
@_option(
    "--secret",
    envvar="ASSISTANT_SECRET",
    help="Signs logins, at least 16 characters; the same for all replicas. By default a file in the data directory.",
)
@_option(
    "--api/--no-api",
    default=None,
    envvar="ASSISTANT_API",
    help="Scripts may call the chat endpoint, behind the same login and limits; by default not on shared pages.",
)
@_option(
    "--limit",
    multiple=True,
    metavar="SCOPE.KIND=N",
    envvar="ASSISTANT_LIMIT",
    help="At most N (or none) for a user, a session or all: messages (a minute), tokens or usd (a day). "
    "Example: --limit user.usd=2. Shared pages have limits by default.",
)
@_option(
    "--lease",
    type=click.FloatRange(2, 600),
    default=15,
    show_default=True,
    envvar="ASSISTANT_LEASE",
    help="Seconds after which another replica takes over from one that was killed.",
)
@_option("--data-dir", type=click.Path(file_okay=False), envvar="ASSISTANT_DATA_DIR", help="Where chats are kept.")
@_option("--database-url", envvar="ASSISTANT_DATABASE_URL", help="An SQLAlchemy URL in place of SQLite there.")
@_option("--verbose", "-v", is_flag=True, envvar="ASSISTANT_VERBOSE", help="Log requests and what they cost.")
@_option("--no-browser", is_flag=True, envvar="ASSISTANT_NO_BROWSER", help="Do not open the page in a browser.")
def serve(**options: Any) -> None:
    """Serve the chat page."""
    from importlib import import_module
    from importlib.util import find_spec

    # By name: the library knows no framework, and the wheel brings the page without what it needs.
    missing = [name for name in ("gradio", "sqlalchemy", "assistant_app") if find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f'The page needs packages that are not installed ({", ".join(missing)}): pip install "assistant[app]"'
        )
    run = import_module("assistant_app").run
    run(**options)


@cli.command("hash-password")
@click.argument("user")
@click.password_option(help="Better left out: it is asked for, and nobody else sees it then.")
def hash_password(user: str, password: str) -> None:
    """Print a line for --auth-file: USER and the hash of a password."""
    from importlib import import_module
    from importlib.util import find_spec

    if find_spec("pwdlib") is None or find_spec("assistant_app") is None:
        raise click.ClickException('This needs a package that is not installed: pip install "assistant[app]"')
    if not user.strip() or user != user.strip() or ":" in user or user.startswith("#") or not user.isprintable():
        raise click.UsageError("A user's name has no colon, no space around it, and no # in front.")
    click.echo(f"{user}:{import_module('assistant_app.login').hash_password(password)}")


def _client(backend: Backend, region: str | None, profile: str | None) -> ChatClient:
    from .clients.base import connect

    return connect(backend, region=region, profile=profile)


def _session(client: ChatClient, settings: dict[str, Any]) -> ChatSession:
    from .session import ChatSession

    return ChatSession(client, **settings)


def _say_error(error: AssistantError) -> None:
    click.echo(f"Error: {error}", err=True)


def run_command(command: click.Command, arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and leaves the process: 0, 1 after an error, 2 after a wrong option, 130 after Ctrl-C."""
    try:
        command.main(args=arguments, standalone_mode=False)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.UsageError as error:
        # One line that says what is wrong; the usage is what --help is for.
        click.echo(f"Error: {error.format_message()}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"Error: {error.format_message()}", err=True)
        sys.exit(1)
    except AssistantError as error:
        _say_error(error)
        logging.getLogger("assistant").debug("cli.error", exc_info=error)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except OSError as error:
        # A full disk behind `> answer.txt`. Of a pipe that nobody reads any more click makes a quiet end.
        click.echo(f"Error: {error}", err=True)
        # Python would fail once more at its end, with the text that is left.
        sys.stdout = None
        sys.exit(1)
    sys.exit(0)


def main() -> NoReturn:
    # A command is short, and a tenth of it would be looking for garbage while packages are loaded.
    gc.set_threshold(100_000, 20, 10)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # None where it is closed. What a terminal's encoding does not have is no reason to fail.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    run_command(cli)
