"""A small grid of prompts, and a client that answers each request by a function of its text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from assistant.clients.base import Messages, as_messages
from assistant.errors import ThrottledError
from assistant.experiments import Experiment
from assistant.messages import Completed, Usage
from assistant.reply import CancelToken, Reply, SourceItem
from assistant.results import Results
from assistant.scorers import contains

from .scripted import ScriptedClient, ends

ROWS = [{"country": "Chile", "expected": "Santiago"}, {"country": "Peru", "expected": "Lima"}]
PROMPTS = {"plain": "Capital of {country}?", "polite": "Please, the capital of {country}?"}
FREE: dict[str, Any] = {"max_usd": None, "progress": False}


class Answering(ScriptedClient):
    """Answers each request by a function of its text; counts how many run at once."""

    def __init__(self, answer: Callable[[str], Any] = lambda text: "Lima", seconds: float = 0.0) -> None:
        super().__init__()
        self.answer = answer
        self.seconds = seconds
        self.running = 0
        self.most = 0
        self.lock = threading.Lock()

    def stream(self, messages: Messages, **options: Any) -> Reply:
        text = as_messages(messages)[-1].text

        def source(token: CancelToken) -> Iterator[SourceItem]:
            with self.lock:
                self.sent.append((text, options))  # type: ignore[arg-type]
                self.running += 1
                self.most = max(self.most, self.running)
            try:
                if token.wait(self.seconds):
                    return
                said = self.answer(text)
                if isinstance(said, BaseException):
                    raise said
                yield from said if isinstance(said, list) else ends(said)
            finally:
                with self.lock:
                    self.running -= 1

        return Reply(source, model=options.get("model") or self.default_model)


def grid(client: Any, **changes: Any) -> Experiment:
    return Experiment(**{"prompts": PROMPTS, "inputs": ROWS, "client": client, "score": contains(), **changes})


def made_results() -> Results:
    """ "good" is right for every country but one, "bad" for one only; two repeats each."""
    lands = [f"land{number}" for number in range(8)]
    prompts = {"good": "good {country}", "bad": "bad {country}"}

    def answer(text: str) -> Any:
        if text == "bad land1":
            return ThrottledError("no")
        right = ("good" in text) != ("land0" in text)
        return [("yes" if right else "no"), Completed("end_turn", Usage(100, 10, cost=0.01), "end_turn")]

    experiment = Experiment(
        prompts=prompts,
        inputs=[{"country": land, "expected": "yes"} for land in lands],
        params=[{"temperature": 0.0}],
        repeats=2,
        score=contains(),
        client=Answering(answer),
    )
    return experiment.run(**FREE)
