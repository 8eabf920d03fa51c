"""Strangers and other owners over raw HTTP: every route of the running app, every listener of the page, every id."""

from __future__ import annotations

import json
import queue
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from assistant.chats import Chats
from assistant_app.gate import Access
from assistant_app.login import HashedAccounts, Login

from .browser import Answer, ScriptedClient, Served, serving
from .raw_http import API, Visitor, chat_data, chat_function

# In everything that is Ana's; nobody else's answer may hold it.
SECRET = "marmalade-7261"

# What a stranger gets where there is a login: everything else is 401.
OPEN_TO_STRANGERS = {("GET", "/login"), ("POST", "/login"), ("HEAD", "/login")}
OPEN_TO_STRANGERS |= {(method, "/logout") for method in ("GET", "HEAD", "POST")}


class Ana:
    """Somebody with everything that there is: a stored conversation, a reply under way, a session, an upload."""

    def __init__(self, served: Served, visitor: Visitor) -> None:
        self.visitor = visitor
        self.function = chat_function(served)
        first = visitor.join(self.function, chat_data(served, SECRET))
        assert first.status_code == 200, first.text
        answer = served.client.next()
        answer.finish(f"I know {SECRET}")
        self.heard = visitor.listen()
        self.owner = next(owner for owner in owners(served.chats) if served.chats.list(owner))
        (self.conversation,) = (each.id for each in served.chats.list(self.owner))
        self.turns = served.chats.open(self.owner, self.conversation).turns
        self.path = visitor.upload(f"my {SECRET}", f"{SECRET}.txt")
        self.event = visitor.join(self.function, chat_data(served, "and now?", self.conversation)).json()["event_id"]
        self.answer: Answer = served.client.next()
        self.answer.say(f"the {SECRET}, ")

    def history(self) -> list[Any]:
        """The chat as Ana's page would send it, with the ids of her turns."""
        shown = []
        for turn in self.turns:
            for role, text in (("user", "x"), ("assistant", "y")):
                parts = [{"type": "text", "text": text}]
                shown.append({"role": role, "content": parts, "metadata": {"id": turn.id}, "options": None})
        return shown

    @property
    def file(self) -> dict[str, Any]:
        return {"path": self.path, "meta": {"_type": "gradio.FileData"}, "orig_name": "x.txt"}


def owners(chats: Chats) -> set[str]:
    """Whoever has written anything here: what the store holds, whatever its tables are called."""
    import sqlalchemy as sa

    engine = sa.create_engine(f"sqlite:///{Path(chats.store.location.removeprefix('sqlite:///'))}")
    try:
        with engine.connect() as connection:
            return set(connection.execute(sa.text("SELECT DISTINCT owner FROM conversations")).scalars())
    finally:
        engine.dispose()


@contextmanager
def visited(directory: Path, mode: str) -> Iterator[tuple[Served, dict[str, Visitor], Ana]]:
    """The page with Ana on it, and those who would like to know: another owner, and somebody who is nobody."""
    from .logins import CHEAP

    accounts = HashedAccounts({name: CHEAP.hash(name) for name in ("ana", "bea")})
    access = Access(Login(accounts, b"x" * 32, first_pause=0)) if mode == "login" else Access()
    with serving(ScriptedClient(), directory, access=access, grace=None) as served:
        known = mode == "login"
        ana = Ana(served, Visitor(served, user="ana" if known else ""))
        others = {"another": Visitor(served, user="bea" if known else ""), "stranger": Visitor(served, cookies=False)}
        yield served, others, ana
        for visitor in (ana.visitor, *others.values()):
            visitor.http.close()


@pytest.fixture(scope="module", params=["login", "cookies"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, dict[str, Visitor], Ana, str]]:
    with visited(tmp_path_factory.mktemp("stranger"), request.param) as (served, others, ana):
        yield served, others, ana, request.param


# -- every route -------------------------------------------------------------------------------------------


def routes_of(app: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Method and path of every route of a running app, those of mounts and included routers as well."""
    for route in app.routes:
        path = prefix + getattr(route, "path", "")
        for method in getattr(route, "methods", None) or ():
            yield method, path
        inner = getattr(route, "app", None) or getattr(route, "original_router", None)
        if getattr(route, "routes", None) and inner is not None:
            yield from routes_of(inner, path)
        elif hasattr(route, "effective_candidates"):
            for each in route.effective_candidates():
                for method in each.methods or ():
                    yield method, each.path


def filled(path: str, ana: Ana) -> str:
    """A route's path with Ana's ids in it; made-up values where it wants something else."""
    ids = {
        "session_hash": ana.visitor.session,
        "event_id": ana.event,
        "path_or_url": ana.path,
        "path": ana.path.lstrip("/"),
        "url_path": "https://example.invalid/",
        "api_name": "chat",
        "component_id": "1",
        "size": "16",
    }
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: ids.get(found[1], "x"), path)


def body_for(path: str, ana: Ana) -> dict[str, Any]:
    ids = {"session_hash": ana.visitor.session, "event_id": ana.event, "fn_index": ana.function}
    return {**ids, "data": [SECRET[:3], None, ana.conversation], "fn_name": "x", "component_id": 1}


def test_every_route_is_walked(world: Any) -> None:
    served = world[0]
    found = set(routes_of(served.demo.app))
    for expected in ("/config", f"{API}/queue/join", f"{API}/cancel", f"{API}/upload", f"{API}/call/{{api_name}}"):
        assert any(path == expected for _, path in found), expected
    assert len(found) > 70


@pytest.mark.parametrize("world", ["login"], indirect=True)
def test_a_stranger_gets_the_login_page_and_401_and_nothing_else(world: Any) -> None:
    served, others, ana, _ = world
    stranger = others["stranger"]
    table = []
    query = f"?session_hash={ana.visitor.session}&upload_id={ana.visitor.session}&c={ana.conversation}"
    for method, path in sorted(set(routes_of(served.demo.app)) | OPEN_TO_STRANGERS | {("GET", "/no/such/route")}):
        for address in (filled(path, ana), filled(path, ana) + query):
            status, text = stranger.text_of(method, address, body_for(path, ana) if method == "POST" else None)
            table.append((method, path, status))
            told = text.replace(f"?c={ana.conversation}", "")
            assert SECRET not in text, (method, address)
            assert "gradio_config" not in text, (method, address)
            if (method, path) in OPEN_TO_STRANGERS:
                continue
            assert status == 401, (method, address, status, told[:200])
    by_status = {status for _, _, status in table}
    assert by_status <= {200, 303, 400, 401}, by_status
    assert len(table) > 140


def test_another_owner_gets_nothing_by_any_route(world: Any) -> None:
    served, others, ana, _ = world
    query = f"?session_hash={ana.visitor.session}&upload_id={ana.visitor.session}&deep_link={ana.event}"
    for name, visitor in others.items():
        for method, path in sorted(set(routes_of(served.demo.app))):
            for address in (filled(path, ana), filled(path, ana) + query):
                # Their own page is theirs; what must not come is anything of Ana's.
                status, text = visitor.text_of(method, address, body_for(path, ana) if method == "POST" else None)
                assert SECRET not in text, (name, method, address)
                if "{" in path and not path.startswith(("/static", "/assets", "/svelte")):
                    assert status in (401, 404), (name, method, address, status)
    assert ana.visitor.text_of("GET", f"{API}/file={ana.path}") == (200, f"my {SECRET}")


# -- every id ----------------------------------------------------------------------------------------------


def test_every_id_is_only_its_owner_s(world: Any) -> None:
    """The table: what is asked for, with whose id, and that it is there for Ana and for nobody else."""
    served, others, ana, _ = world
    session, event = ana.visitor.session, ana.event
    join = {"fn_index": ana.function, "data": chat_data(served, "hi"), "event_data": None}
    table: list[tuple[str, str, str, Any]] = [
        ("a session's stream", "GET", "queue/data?session_hash={session}", None),
        ("an event's stream, taken for a session", "GET", "queue/data?session_hash={event}", None),
        ("an event's result", "GET", "call/chat/{event}", None),
        ("an event's result, the second way", "GET", "call/v2/chat/{event}", None),
        ("a session's heartbeat", "GET", "heartbeat/{session}", None),
        ("an upload", "GET", "file={path}", None),
        ("an upload's size", "HEAD", "file={path}", None),
        ("an upload by the old route", "GET", "file/{path}", None),
        ("an upload's progress", "GET", "upload_progress?upload_id={session}", None),
        ("an upload under a known name", "POST", "upload?upload_id={session}", None),
        ("an event in a session", "POST", "queue/join", {**join, "session_hash": session}),
        ("an event in a session, called", "POST", "call/chat", {**join, "session_hash": session}),
        ("a direct call in a session", "POST", "run/predict", {**join, "session_hash": session}),
        ("an event's end", "POST", "cancel", {"session_hash": session, "fn_index": ana.function, "event_id": event}),
        (
            "an event's end, from elsewhere",
            "POST",
            "cancel",
            {"session_hash": "mine", "fn_index": 0, "event_id": event},
        ),
        ("an event's reset", "POST", "reset", {"event_id": event}),
        ("a stream's data", "POST", "stream/{event}", {"data": []}),
        ("a stream's end", "POST", "stream/{event}/close", None),
        ("a session's components", "GET", "deep_link?session_hash={session}", None),
        ("a component's function", "POST", "component_server", {**join, "session_hash": session, "component_id": 1}),
        ("a file in a message", "POST", "queue/join", {**join, "data": [{"text": "", "files": [ana.file]}]}),
        ("a file in a history", "POST", "run/predict", {**join, "data": [None, [{"content": {"file": ana.file}}]]}),
        ("a file in an event", "POST", "queue/join", {**join, "event_data": {"value": ana.file}}),
    ]
    ids = {"session": session, "event": event, "path": ana.path}
    leaks = []
    for name, visitor in others.items():
        for what, method, path, body in table:
            own = {**body, "session_hash": body.get("session_hash", visitor.session)} if body else body
            status, text = visitor.text_of(method, f"{API}/{path.format(**ids)}", own)
            if status not in (401, 404) or SECRET in text:
                leaks.append((name, what, status, text[:100]))
    assert leaks == []
    # Nothing of it did Ana any harm: the reply goes on, and is hers.
    assert not ana.answer.cancelled.is_set()


def test_a_path_in_a_body_can_t_be_hidden(world: Any) -> None:
    _, others, ana, _ = world
    hidden = json.dumps({"fn_index": ana.function, "data": [ana.file], "session_hash": "mine"})
    hidden = hidden.replace('"path"', '"\\u0070ath"')
    for visitor in others.values():
        answer = visitor.http.post(f"{API}/queue/join", content=hidden, headers={"content-type": "application/json"})
        assert answer.status_code in (401, 404)


def everything(served: Served, owner: str, conversation: str) -> str:
    """What the store holds of a conversation; texts, titles, settings, and which turns are in the line."""
    opened = served.chats.open(owner, conversation)
    return repr((opened.title, opened.settings, [(turn.id, turn.user) for turn in opened.turns]))


def inputs_for(block: Any, ana: Ana, text: str) -> Any:
    kind = block.get_block_name()
    if kind == "chatbot":
        return ana.history()
    if kind == "state":
        return None
    return text if kind == "textbox" else None


def commands(conversation: str) -> list[dict[str, str]]:
    """What the side bar's buttons ask for."""
    dos = ("rename", "delete", "restore", "export")
    return [{"do": do, "id": conversation, "title": "theirs", "format": "json"} for do in dos]


def test_no_listener_of_the_page_tells_or_changes_anything_of_another_owner(world: Any) -> None:
    """Every listener there is, with Ana's conversation, turns and texts wherever it takes something."""
    served, others, ana, _ = world
    bea = others["another"]
    before = everything(served, ana.owner, ana.conversation)
    answers: queue.Queue[Any] = served.client.asked
    done = threading.Event()

    def model() -> None:
        while not done.is_set():
            try:
                asked = answers.get(timeout=0.05)
            except queue.Empty:
                continue
            assert SECRET not in "".join(message.text for message in asked.messages)
            asked.finish("nothing")

    worker = threading.Thread(target=model)
    worker.start()
    called = 0
    try:
        for number, function in served.demo.fns.items():
            if not callable(function.fn) or function.fn.__name__ == "unload":
                continue
            texts = [ana.conversation, ana.turns[0].id]
            if function.fn.__name__ == "act":
                texts += [json.dumps(each) for each in commands(ana.conversation)]
            for text in texts:
                data = [inputs_for(block, ana, text) for block in function.inputs]
                bea.session = uuid.uuid4().hex[:11]
                event = {"value": text, "index": 0}
                answer = bea.join(number, data, event_data=event)
                seen = answer.text
                if answer.status_code == 200 and function.queue:
                    seen = bea.listen()
                called += 1
                assert SECRET not in seen, (number, function.fn.__name__, seen[:500])
    finally:
        done.set()
        worker.join()
    assert called > 20
    assert everything(served, ana.owner, ana.conversation) == before
    assert not ana.answer.cancelled.is_set()


def test_what_others_may_not_have_ana_has(world: Any) -> None:
    """Otherwise all of the above would be true of an app that answers nobody. Runs last: it ends the reply."""
    _, _, ana, _ = world
    assert SECRET in ana.heard
    assert ana.visitor.text_of("GET", f"{API}/file={ana.path}") == (200, f"my {SECRET}")
    ana.answer.finish("and the end.")
    heard = ana.visitor.listen()
    assert SECRET in heard
    assert "and the end." in heard
    # Last of all: when it is cut, Gradio takes the page for closed.
    assert ana.visitor.text_of("GET", f"{API}/heartbeat/{ana.visitor.session}")[0] == 200
