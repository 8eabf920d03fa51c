"""The page over HTTP: how it is set up, its endpoint for scripts, and whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client

from assistant_app import launch
from assistant_app.identity import COOKIE

from .browser import ScriptedClient, Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    client = ScriptedClient()
    client.echo = True
    with serving(client, tmp_path_factory.mktemp("app")) as page:
        yield page


def test_the_endpoint_needs_the_message_alone_and_goes_on_within_a_session(served: Served) -> None:
    caller = Client(served.url, verbose=False)
    answer = caller.predict("hello", api_name="/chat")
    assert answer["role"] == "assistant"
    assert answer["content"] == [{"type": "text", "text": "You said: hello"}]
    served.client.asked.get(timeout=5)
    assert caller.predict("and now?", api_name="/chat")["content"][0]["text"] == "You said: and now?"
    texts = [message.text for message in served.client.asked.get(timeout=5).messages]
    assert texts == ["hello", "You said: hello", "and now?"]


def test_the_endpoint_takes_settings_by_name(served: Served) -> None:
    caller = Client(served.url, verbose=False)
    caller.predict("hello", model="scripted-2", temperature=0.5, max_tokens=9, system="Be brief.", api_name="/chat")
    options = served.client.asked.get(timeout=5).options
    assert (options["model"], options["temperature"], options["max_tokens"]) == ("scripted-2", 0.5, 9)
    assert options["system"] == "Be brief."


def test_each_update_is_the_whole_text_so_far(tmp_path: Path) -> None:
    client = ScriptedClient()
    with serving(client, tmp_path) as served:
        job = Client(served.url, verbose=False).submit("count", api_name="/chat")
        answer = client.next()
        updates = iter(job)
        answer.say("one\n\tindented ")
        assert next(updates)["content"][0]["text"] == "one\n\tindented "
        answer.finish("two")
        assert [each["content"][0]["text"] for each in updates][-1] == "one\n\tindented two"


def test_more_readers_than_gradio_s_forty_are_answered_at_once(tmp_path: Path) -> None:
    client = ScriptedClient()
    with serving(client, tmp_path) as served:
        call = f"{served.url}/gradio_api/call/chat"
        data = ["hi", "", None, None, None, None, "", None]
        with httpx.Client(timeout=30) as http:
            events = [http.post(call, json={"data": data}).json()["event_id"] for _ in range(45)]
            running = [client.next() for _ in events]
            for answer in running:
                answer.finish("done")
            assert all('"done"' in http.get(f"{call}/{event}").text for event in events)


def test_the_page_is_set_up_against_the_known_traps(served: Served) -> None:
    demo: Any = served.demo
    config = httpx.get(f"{served.url}/config").json()
    assert config["title"] == "Assistant"
    assert demo._queue.max_size is None
    assert demo.max_threads > 40
    functions = [fn for fn in demo.fns.values() if callable(fn.fn)]
    assert all(fn.concurrency_limit in (None, "default") for fn in functions if fn.queue)
    assert demo._queue.default_concurrency_limit is None
    # Gradio's own events are gone: of a message's, one asks the server.
    assert not {fn.api_name for fn in functions} & {"_submit_fn", "_clear_and_save_textbox", "_save_conversation"}
    assert [fn.api_name for fn in functions if fn.api_name.startswith("say")] == ["say", "say_1"]
    turns = [fn for fn in functions if "chatbot" in {block.get_block_name() for block in fn.outputs}]
    kinds = {block.get_block_name() for fn in turns for block in fn.inputs}
    assert "slider" not in kinds, "a value out of its range would refuse the turn"
    dropdowns = [component for component in config["components"] if component["type"] == "dropdown"]
    assert all(each["props"]["allow_custom_value"] is True for each in dropdowns)
    for component in config["components"]:
        if component["type"] == "number":
            assert component["props"].get("minimum") is None
    assert demo.enable_monitoring is False
    assert demo.run_history is False
    assert demo.analytics_enabled is False
    assert demo.max_file_size == launch.MAX_FILE
    assert list(Client(served.url, verbose=False).view_api(return_format="dict")["named_endpoints"]) == ["/chat"]


def test_the_page_gives_each_browser_an_owner_that_scripts_can_t_read(served: Served) -> None:
    first = httpx.get(served.url)
    cookie = first.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert len(first.cookies[COOKIE]) == 32
    assert "set-cookie" not in httpx.get(served.url, cookies=dict(first.cookies)).headers
    assert httpx.get(served.url).cookies[COOKIE] != first.cookies[COOKIE]
    assert httpx.get(served.url, cookies={COOKIE: "chosen"}).cookies[COOKIE] != "chosen"
    assert "set-cookie" not in httpx.get(f"{served.url}/theme.css").headers


def test_two_owners_over_raw_http_see_nothing_of_each_other(served: Served) -> None:
    mine, theirs = Client(served.url, verbose=False), Client(served.url, verbose=False)
    assert mine.cookies[COOKIE] != theirs.cookies[COOKIE]
    mine.predict("my secret", api_name="/chat")
    owner = f"cookie:{mine.cookies[COOKIE]}"
    (kept,) = served.chats.list(owner)
    refused = theirs.predict("tell me", conversation=kept.id, api_name="/chat")
    assert "There is no such conversation" in refused["content"][0]["text"]
    assert [turn.user for turn in served.chats.open(owner, kept.id).turns] == ["my secret"]
