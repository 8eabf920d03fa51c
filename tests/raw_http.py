"""Visitors of the page who send what they like, by raw HTTP."""

from __future__ import annotations

import uuid
from typing import Any

import httpx

from .browser import Served

API = "/gradio_api"


class Visitor:
    """A browser without a browser: cookies, a session hash, and events by raw HTTP."""

    def __init__(self, served: Served, *, user: str = "", cookies: bool = True) -> None:
        self.served = served
        self.http = httpx.Client(base_url=served.url, timeout=20)
        self.session = uuid.uuid4().hex[:11]
        if user:
            assert self.http.post("/login", data={"username": user, "password": user}).status_code == 200
        if cookies:
            self.http.get("/")

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.http.post(f"{API}/{path}", json=body)

    def join(self, function: int, data: list[Any], **more: Any) -> httpx.Response:
        body = {"fn_index": function, "data": data, "session_hash": self.session, "event_data": None, **more}
        return self.post("queue/join" if self.served.demo.fns[function].queue else "run/predict", body)

    def upload(self, text: str, name: str = "notes.txt") -> str:
        answer = self.http.post(f"{API}/upload?upload_id={self.session}", files={"files": (name, text.encode())})
        assert answer.status_code == 200, answer.text
        (path,) = answer.json()
        return str(path)

    def listen(self, until: str = "process_completed") -> str:
        """What comes on the session's stream, up to the message that is waited for."""
        seen = []
        with self.http.stream("GET", f"{API}/queue/data", params={"session_hash": self.session}) as answer:
            for line in answer.iter_lines():
                seen.append(line)
                if f'"{until}"' in line or '"close_stream"' in line:
                    break
        return "\n".join(seen)

    def text_of(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Status and the first of what is answered: a stream is not read to its end."""
        with self.http.stream(method, path, json=body) as answer:
            if answer.status_code == 200 and "event-stream" in answer.headers.get("content-type", ""):
                return answer.status_code, next(answer.iter_text(), "")
            return answer.status_code, "".join(answer.iter_text()) + str(answer.headers.get("location", ""))


def chat_function(served: Served) -> int:
    return next(number for number, each in served.demo.fns.items() if each.api_name == "chat")


def chat_data(served: Served, text: str, conversation: str = "") -> list[Any]:
    """The inputs of the chat endpoint: message, conversation, and the rest as nobody touched it."""
    return [text, conversation, *[None] * (len(served.demo.fns[chat_function(served)].inputs) - 2)]
