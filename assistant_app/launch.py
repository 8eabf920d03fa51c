"""From options to a page that is served: the address, the login, the tunnel, and what the terminal says about it."""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from .access import is_loopback

if TYPE_CHECKING:
    import gradio as gr

    from assistant.chats import Chats

    from .gate import Access
    from .login import Account

# Events that run at once, over all visitors, those that only wait included. Gradio's own 40 is the length of its job
# table: the 41st reader would wait for a first word until another one's answer has ended.
MAX_THREADS = 1000
# States of pages that Gradio keeps; a long chat is half a megabyte.
SESSIONS = 500
# The most that the address waits for what the first answer needs; looking for credentials can take longer.
WARM_SECONDS = 3.0
# Of one file, in bytes: the largest that a model takes, and some air.
MAX_FILE = 5 * 1024 * 1024
# Of one upload with all its files.
MAX_UPLOAD = 10 * MAX_FILE
# Seconds after which what was uploaded leaves Gradio's directory, and between two looks.
UPLOADS_LAST, UPLOADS_LOOK = 24 * 3600, 3600


def check_address(host: str, port: int) -> int:
    """The port to listen on, a free one for 0. Raises click.ClickException in one line where that can't be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise click.ClickException(f"The host {host!r} is no address of this machine.") from error
    with socket.socket(family, kind, protocol) as probe:
        if os.name == "posix":
            # A server that has just ended leaves the port waiting, not in use.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            # Binding may succeed beside a server that allows it; listening does not.
            probe.listen(1)
        except PermissionError as error:
            raise click.ClickException(f"Port {port} needs more rights; choose one above 1023 with --port.") from error
        except OSError as error:
            if "assign" in str(error):
                raise click.ClickException(f"The host {host!r} is no address of this machine.") from error
            raise click.ClickException(
                f"Port {port} is in use. Choose another one with --port, or 0 for any that is free."
            ) from error
        return int(probe.getsockname()[1])


def quiet_environment() -> None:
    """What Gradio reads when it is imported or launched, set before that: no telemetry, no sharing by surprise."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Gradio's statistics, which nobody sees here (enable_monitoring=False): a table of all events after each event.
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
    if not os.environ.get("GRADIO_TEMP_DIR"):
        # Gradio's own place for uploads is one for all users of the machine, who may read them.
        os.environ["GRADIO_TEMP_DIR"] = directory = tempfile.mkdtemp(prefix="assistant-")
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
    # Gradio looks at its own page through httpx: a proxy for the world outside must not get in between.
    for name in ("NO_PROXY", "no_proxy"):
        given = [each for each in os.environ.get(name, "").split(",") if each]
        os.environ[name] = ",".join(dict.fromkeys([*given, "127.0.0.1", "localhost", "::1"]))


def launch(
    demo: gr.Blocks,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    share: bool = False,
    access: Access | None = None,
    open_browser: bool = False,
) -> None:
    """Serves the page and returns. What Gradio would print is left out: `announce` says it.

    Raises click.ClickException for a shared page that anybody could use.
    """
    from starlette.middleware import Middleware

    from . import gate, light, page, theme, words
    from .assets import Assets, files_of
    from .guard import Guard
    from .identity import OwnerCookie

    quiet_environment()
    access = access or gate.Access()
    if share and not access.closed:
        raise click.ClickException("A shared page needs a login.")
    if not access.api:
        _hide_api(demo)
    demo.delete_cache = (UPLOADS_LOOK, UPLOADS_LAST)
    opened = threading.Event()
    demo.launch(
        server_name=host,
        server_port=port,
        share=share,
        # The gate has let the user in already; Gradio's own login would be forgotten with the process.
        auth_dependency=gate.user_of if access.closed else None,
        inbrowser=open_browser,
        prevent_thread_lock=True,
        quiet=True,
        # An error's text may hold what is nobody's business; ours are said in the chat.
        show_error=False,
        max_threads=MAX_THREADS,
        state_session_capacity=SESSIONS,
        max_file_size=MAX_FILE,
        run_history=False,
        enable_monitoring=False,
        footer_links=["settings"],
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        app_kwargs={
            "middleware": [
                Middleware(OwnerCookie),
                Middleware(gate.Gate, access=access, opened=opened),
                Middleware(Guard, api=access.api, max_upload=MAX_UPLOAD),
                Middleware(Assets, files=files_of(demo)),
            ]
        },
        i18n=words.i18n(),
        theme=theme.theme(),
        css=theme.CSS,
        head=page.head(),
    )
    light.lighten(demo)
    opened.set()


def _hide_api(demo: gr.Blocks) -> None:
    """No endpoint is described to scripts any more; the guard closes the routes by which they would be called."""
    for function in demo.fns.values():
        function.api_visibility = "private"


def serve(
    build: Callable[[Chats], gr.Blocks],
    chats: Chats,
    *,
    warming: threading.Thread | None = None,
    host: str,
    port: int,
    share: bool,
    access: Access,
    invented: Account | None,
    verbose: bool,
    open_browser: bool,
) -> None:
    """Serves until Ctrl-C or SIGTERM; then stops what runs and saves it. `invented`: the account to be announced."""
    demo = build(chats)
    try:
        with _silence(unless=verbose):
            launch(demo, host=host, port=port, share=share, access=access, open_browser=open_browser)
        if demo.local_url is None:
            # `gradio app.py` runs app.py again when it changes; it serves the page itself.
            return
        # Whoever opens the page at once, and sends at once, would wait for that instead.
        if warming is not None:
            warming.join(WARM_SECONDS)
        settle()
        announce(chats, demo, share=share, invented=invented)
        if not access.closed and not is_loopback(host):
            click.echo(
                "  Whoever reaches this address can use it, and your AWS account: --auth or --auth-file asks first."
            )
        _wait()
    finally:
        # First what runs, so that open pages still see how it ended.
        chats.close()
        close(demo)


def settle() -> None:
    """For a process that serves the page and nothing else: what was loaded is never looked through for garbage again.

    Each of those looks stops every reply; with hundreds of them it took a third of a second, every few seconds.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 10)


def close(demo: gr.Blocks) -> None:
    """Ends the server at once: every open page holds a connection, and uvicorn would wait for them for ever."""
    server = getattr(demo, "server", None)
    if server is not None:
        server.force_exit = True
        # It would print what it cuts short as a traceback.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    demo.close(verbose=False)


def announce(chats: Chats, demo: gr.Blocks, *, share: bool, invented: Account | None) -> None:
    """The address, who answers and why, the login where it was made up, and a tunnel that could not be had."""
    client: Any = chats.client
    url = str(demo.local_url).rstrip("/")
    click.echo(f"Assistant: {url}")
    reason = getattr(client, "reason", None)
    click.echo(f"  answers: {getattr(client, 'description', type(client).__name__)}{f' ({reason})' if reason else ''}")
    if share and demo.share_url:
        click.echo(f"  public link, for about a week: {demo.share_url}")
    elif share:
        click.echo(
            "  There is no public link: the tunnel could not be had (no way to Gradio's share server from here). "
            "The page is served on this machine only."
        )
    if invented is not None:
        click.echo(f"  user: {invented.user}  password: {invented.password}   (shown only now)")
    click.echo("  Ctrl-C ends it.")


def log_to_stderr() -> None:
    """For --verbose: the library's log, requests and costs."""
    logger = logging.getLogger("assistant")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)


@contextlib.contextmanager
def _silence(*, unless: bool) -> Iterator[None]:
    """Gradio prints whatever `quiet` says, for example five lines about antivirus software when there is no tunnel."""
    if unless:
        yield
        return
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _wait() -> None:
    ended = threading.Event()
    previous = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        # Python's own wait without a timeout would not let Ctrl-C through on Windows.
        while not ended.wait(1):
            pass
    except KeyboardInterrupt:
        click.echo()
    finally:
        signal.signal(signal.SIGTERM, previous)
