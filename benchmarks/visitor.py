"""A page without a browser: Gradio's protocol over plain HTTP and SSE, driven by the page's own list of listeners.

What a browser would do follows from `/config`: which listener answers to which event, what comes after it, which
values it sends, and whether it goes through the queue. So this stays right when the page changes. Listeners that run
in the browser alone are left out; of their scripts the load generator knows the two that write what the server reads.
Own HTTP on asyncio's streams: any client library would take more CPU than the server that is measured.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

Json = Any


class Failed(Exception):
    """The server answered with something a browser would show as an error."""


class Connections:
    """Keep-alive connections to one server, as one visitor's browser has them."""

    def __init__(self, host: str, port: int, cookie: str) -> None:
        self._address = host, port
        self._head = f"Host: {host}:{port}\r\nCookie: {cookie}\r\nAccept-Language: en\r\n"
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The answer's body. Raises Failed for a status of 400 or more."""
        while True:
            used = bool(self._idle)
            reader, writer = self._idle.pop() if used else await asyncio.open_connection(*self._address, limit=2**24)
            try:
                status, headers = await self._send(reader, writer, method, path, body)
                break
            except (OSError, asyncio.IncompleteReadError):
                # The server hangs up after some idle seconds; browsers, too, try again where nothing came back.
                writer.close()
                if not used:
                    raise
        if "content-length" in headers:
            content = await reader.readexactly(int(headers["content-length"]))
        else:
            content = b"".join([chunk async for chunk in _chunks(reader)])
        self._idle.append((reader, writer))
        if status >= 400:
            raise Failed(f"{method} {path}: {status} {content[:200]!r}")
        return content

    async def stream(self, path: str, receive: Callable[[Json], bool]) -> None:
        """Reads server-sent events until `receive` says False, the server ends, or the task is cancelled."""
        reader, writer = await asyncio.open_connection(*self._address, limit=2**24)
        try:
            status, _ = await self._send(reader, writer, "GET", path, None)
            if status >= 400:
                raise Failed(f"GET {path}: {status}")
            rest = b""
            async for chunk in _chunks(reader):
                *events, rest = (rest + chunk).split(b"\n\n")
                for event in events:
                    if event.startswith(b"data: {") and not receive(json.loads(event[6:])):
                        return
        finally:
            writer.close()

    async def _send(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str, body: bytes | None
    ) -> tuple[int, dict[str, str]]:
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body is not None else ""
        writer.write(f"{method} {path} HTTP/1.1\r\n{self._head}{length}\r\n".encode() + (body or b""))
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = (line.split(":", 1) for line in lines if line)
        return int(first.split()[1]), {name.lower(): value.strip() for name, value in fields}

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def _chunks(reader: asyncio.StreamReader) -> Any:
    while size := int(await reader.readline(), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)


class Visitor:
    """One open page. `heard(text)` is called with what each update adds to the last message of the chat."""

    def __init__(
        self,
        config: dict[str, Json],
        host: str,
        port: int,
        *,
        owner: str | None = None,
        conversation: str = "",
        heard: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.session = secrets.token_hex(6)
        self.conversation = conversation
        self.calls: list[int] = []
        self._web = Connections(host, port, f"assistant_owner={owner or secrets.token_hex(16)}")
        self._heard = heard
        self._query = {"c": conversation} if conversation else {}
        self._parts = {part["id"]: part for part in config["components"]}
        self._listeners: list[dict[str, Json]] = config["dependencies"]
        self._values = {id: part["props"].get("value") for id, part in self._parts.items()}
        self._changed: list[int] = []
        self._waiting: dict[str, asyncio.Queue[Json]] = {}
        self._early: dict[str, list[Json]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._heartbeat: asyncio.Task[None] | None = None
        self.chatbot = next(id for id, part in self._parts.items() if part["type"] == "chatbot")
        boxes = [id for id, part in self._parts.items() if part["type"] == "textbox"]
        sends = {target[0] for each in self._listeners for target in each["targets"] if target[1] == "submit"}
        self.textbox = next(id for id in boxes if id in sends)

    @property
    def messages(self) -> list[Json]:
        """What the chat shows."""
        return self._values[self.chatbot] or []

    async def load(self) -> None:
        """Opens the page, and waits until all that happens at its start has happened."""
        await self._web.request("GET", "/?" + urlencode(self._query))
        beat = self._web.stream(f"/gradio_api/heartbeat/{self.session}", lambda message: True)
        self._heartbeat = asyncio.ensure_future(beat)
        await self._fire("load")
        await self._settle()

    async def submit(self, text: str) -> None:
        """Sends a message and waits for the answer and for all that follows it."""
        self._values[self.textbox] = text
        await self._fire("submit", self.textbox)
        await self._settle()

    async def _settle(self) -> None:
        """What answers to changes. It waits, as the page's script does, until the text box is free again."""
        while self._changed:
            changed, self._changed = list(dict.fromkeys(self._changed)), []
            await asyncio.gather(*(self._fire("change", id) for id in changed))

    async def close(self) -> None:
        for task in (self._heartbeat, self._reading):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        self._web.close()

    # -- who answers to what -------------------------------------------------------------------------------

    async def _fire(self, event: str, target: int | None = None) -> None:
        found = [each for each in self._listeners if any(_is(given, event, target) for given in each["targets"])]
        await asyncio.gather(*(self._run(each, target) for each in found))

    async def _run(self, listener: dict[str, Json], trigger: int | None) -> None:
        """A listener, and what comes after it."""
        ok = True
        if listener["js"] and not listener["backend_fn"]:
            self._script(listener)
        elif listener["backend_fn"]:
            try:
                await self._call(listener, trigger)
            except Failed:
                ok = False
                if not listener["queue"]:
                    raise
        after = [
            each
            for each in self._listeners
            if each["trigger_after"] == listener["id"]
            and (ok or not each["trigger_only_on_success"])
            and (not ok or not each.get("trigger_only_on_failure"))
        ]
        await asyncio.gather(*(self._run(each, trigger) for each in after))
        if not ok:
            raise Failed(f"listener {listener['id']} ({listener['api_name']})")

    def _script(self, listener: dict[str, Json]) -> None:
        """What the page's own scripts write that the server will read: of those that begin a turn, a message's."""
        script = listener["js"] if isinstance(listener["js"], str) else ""
        if "assistantPage.send(" not in script:
            return
        text, chat, conversation = (self._values[id] for id in listener["inputs"])
        if conversation:
            self._query["c"] = conversation
        said = {"role": "user", "content": [{"type": "text", "text": text}], "metadata": None, "options": None}
        shown, box, sent, intent, *_ = listener["outputs"]
        self._values |= {shown: [*(chat or []), said], box: "", sent: text, intent: "send"}

    async def _call(self, listener: dict[str, Json], trigger: int | None) -> None:
        data = [self._sent(id) for id in listener["inputs"]]
        if "assistantPage.opened(" in str(listener["js"]):
            data[0] = self.conversation
        body = {"data": data, "event_data": None, "fn_index": listener["id"], "trigger_id": trigger}
        body["session_hash"] = self.session
        self.calls.append(listener["id"])
        path = "/gradio_api/queue/join?" if listener["queue"] else "/gradio_api/run/predict?"
        answer = json.loads(await self._web.request("POST", path + urlencode(self._query), json.dumps(body).encode()))
        if listener["queue"]:
            await self._follow(listener, answer["event_id"])
        else:
            await self._take(listener, answer)

    def _sent(self, id: int) -> Json:
        return None if self._parts[id]["type"] == "state" else self._values[id]

    # -- the queue -----------------------------------------------------------------------------------------

    async def _follow(self, listener: dict[str, Json], event: str) -> None:
        messages: asyncio.Queue[Json] = asyncio.Queue()
        self._waiting[event] = messages
        for message in self._early.pop(event, ()):
            messages.put_nowait(message)
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self._read())
        last: list[Json] | None = None
        try:
            while True:
                message = await messages.get()
                kind = message["msg"]
                if kind == "process_generating":
                    output = message["output"]
                    new = output["data"]
                    if last is not None:
                        new = [_applied(old, edits) for old, edits in zip(last, new, strict=True)]
                    last = new
                    await self._take(listener, {**output, "data": new})
                elif kind == "process_completed":
                    if not message["success"]:
                        raise Failed(str(message["output"]))
                    await self._take(listener, message["output"])
                    return
                elif kind in ("unexpected_error", "server_stopped", "broken"):
                    raise Failed(str(message.get("message", kind)))
        finally:
            del self._waiting[event]

    async def _read(self) -> None:
        def receive(message: Json) -> bool:
            event = message.get("event_id")
            if event in self._waiting:
                self._waiting[event].put_nowait(message)
            elif event is not None:
                self._early.setdefault(event, []).append(message)
            elif message["msg"] == "unexpected_error":
                for each in self._waiting.values():
                    each.put_nowait(message)
            return bool(message["msg"] != "close_stream")

        try:
            await self._web.stream(f"/gradio_api/queue/data?session_hash={self.session}", receive)
        except (Failed, OSError, asyncio.IncompleteReadError) as error:
            for each in self._waiting.values():
                each.put_nowait({"msg": "broken", "message": repr(error)})
            return
        if self._waiting:
            # Somebody joined while the server was closing the stream.
            self._reading = asyncio.ensure_future(self._read())

    async def _take(self, listener: dict[str, Json], output: Json) -> None:
        """Puts what came into the parts, and notes which have changed."""
        changed = list(output.get("changed_state_ids") or ())
        for id, value in zip(listener["outputs"], output["data"], strict=False):
            if isinstance(value, dict) and value.get("__type__") == "update":
                if "value" not in value:
                    continue
                value = value["value"]
            if self._parts[id]["type"] == "state":
                continue
            before, self._values[id] = self._values[id], value
            if id == self.chatbot:
                self._hear(before or [], value or [])
            elif value != before:
                changed.append(id)
        self._changed += changed

    def _hear(self, before: list[Json], now: list[Json]) -> None:
        # Notes and what is waited for are messages, too; a reply has no more than an id.
        at = next((at for at in reversed(range(len(now))) if set(now[at].get("metadata") or ()) <= {"id"}), -1)
        if at < 0 or now[at]["role"] != "assistant":
            return
        text = _text(now[at])
        old = _text(before[at]) if at < len(before) and before[at]["role"] == "assistant" else ""
        if text.startswith(old) and len(text) > len(old):
            self._heard(text[len(old) :])


def _is(given: Json, event: str, target: int | None) -> bool:
    return bool(given[1] == event and (target is None or given[0] == target))


def _text(message: Json) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text") or "" for part in content)


def _applied(old: Json, edits: list[Json]) -> Json:
    """Gradio's diffs: only what is on the way to a change is copied, so that the value before stays as it was."""
    for action, path, value in edits:
        old = _edited(old, path, action, value)
    return old


def _edited(old: Json, path: list[Json], action: str, value: Json) -> Json:
    if not path:
        return old + value if action == "append" else value
    key, *rest = path
    new = list(old) if isinstance(old, list) else dict(old)
    if rest or action in ("replace", "append"):
        new[key] = _edited(old[key], rest, action, value)
    elif action == "delete":
        del new[key]
    elif isinstance(new, list):
        new.insert(key, value)
    else:
        new[key] = value
    return new
