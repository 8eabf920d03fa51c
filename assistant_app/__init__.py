"""The chat page. It draws what assistant.chats holds; everything of Gradio's is in here.

Importing this loads no Gradio: wrong options are answered before that takes its two seconds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import stubs

if TYPE_CHECKING:
    import gradio as gr

    from assistant.chats import Chats
    from assistant.limits import Admission, Allowance
    from assistant.store import ConversationStore

__all__ = ["build", "demo", "run"]

# Before any module of the page imports Gradio.
stubs.leave_out()


def build(chats: Chats) -> gr.Blocks:
    """The page for these conversations, not launched yet."""
    from .launch import quiet_environment

    quiet_environment()
    from .page import build as build_page

    return build_page(chats)


def run(
    *,
    backend: Any = "auto",
    region: str | None = None,
    profile: str | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    share: bool = False,
    auth: str | None = None,
    auth_file: str | None = None,
    user_header: str | None = None,
    proxy_secret: str | None = None,
    secret: str | None = None,
    api: bool | None = None,
    limit: Sequence[str] = (),
    lease: float = 15.0,
    data_dir: str | None = None,
    database_url: str | None = None,
    verbose: bool = False,
    no_browser: bool = False,
) -> None:
    """Serves the page; blocks until Ctrl-C or SIGTERM.

    The options are those of `assistant serve`. With `share` there is always a login: without `auth` or `auth_file` one
    is made up and printed. Raises click exceptions for options that can't be met, AssistantError where backend or
    store can't be used.
    """
    from . import launch
    from .access import access_from, allowances_from

    # In the order of what it costs to find out.
    access, invented = access_from(
        host=host,
        share=share,
        auth=auth or None,
        auth_file=auth_file,
        user_header=user_header,
        proxy_secret=proxy_secret,
        secret=secret,
        data_dir=data_dir,
        api=api,
    )
    allowances = allowances_from(limit, share=share)
    port = launch.check_address(host, port)
    if verbose:
        launch.log_to_stderr()
    chats = _chats(backend, region, profile, data_dir, database_url, verbose, allowances, lease)
    launch.serve(
        build,
        chats,
        warming=_warming(chats.client),
        host=host,
        port=port,
        share=share,
        access=access,
        invented=invented,
        verbose=verbose,
        open_browser=not no_browser,
    )


def demo() -> gr.Blocks:
    """The page as the environment (ASSISTANT_*) asks for it, for `gradio app.py`."""
    import os

    names = {"backend": "BACKEND", "region": "REGION", "profile": "PROFILE", "data_dir": "DATA_DIR"}
    given: dict[str, Any] = {name: os.environ.get(f"ASSISTANT_{key}") or None for name, key in names.items()}
    url = os.environ.get("ASSISTANT_DATABASE_URL") or None
    chats = _chats(given["backend"] or "auto", given["region"], given["profile"], given["data_dir"], url, verbose=False)
    _warming(chats.client)
    return build(chats)


def _chats(
    backend: Any,
    region: str | None,
    profile: str | None,
    data_dir: str | None,
    database_url: str | None,
    verbose: bool,
    allowances: Mapping[str, Allowance] | None = None,
    lease: float = 15.0,
) -> Chats:
    from assistant.chats import Chats
    from assistant.clients.base import connect
    from assistant.clients.local import LocalClient
    from assistant.session import ChatSession
    from assistant.store import ConversationStore

    client = connect(backend, region=region, profile=profile, model_dir=data_dir)
    store = ConversationStore(database_url, data_dir)
    # Where it can't be opened at all, that is said now and not at the first message.
    store.check()
    limits = _limits(store, allowances or {})
    return Chats(
        client,
        store,
        limits,
        lease=lease,
        make_session=lambda: ChatSession(client, verbose=verbose),
        # What a small model makes of a title is worse than the first words, and the next reply would wait for it.
        titles=not isinstance(client, LocalClient),
    )


def _limits(store: ConversationStore, allowances: Mapping[str, Allowance]) -> Admission | None:
    """Kept in the store, so that replicas share them and a restart forgets nothing. None where there are none."""
    from assistant.accounts import StoredLimits
    from assistant.limits import Allowance

    none = Allowance()
    user, session, in_all = (allowances.get(name, none) for name in ("user", "session", "all"))
    if user == session == in_all == none:
        return None
    return StoredLimits(store, **asdict(user), per_session=session, in_all=in_all)


def _warming(client: Any) -> threading.Thread:
    """Loads in the background, beside Gradio, what the first answer would wait for."""
    thread = threading.Thread(target=_warm, args=(client,), name="assistant-warm", daemon=True)
    thread.start()
    return thread


def _warm(client: Any) -> None:
    """What is wrong with it is said at the first answer, where somebody reads it."""
    try:
        getattr(client, "warm", lambda: None)()
    except Exception:
        logging.getLogger("assistant").debug("app.not_warmed", exc_info=True)
