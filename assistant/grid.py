"""The cells of a grid, worked on by several threads while the caller waits."""

from __future__ import annotations

import queue
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from .cells import Cell, Outcome
from .clients.base import ChatClient
from .errors import AssistantError
from .messages import Retrying, TextDelta
from .reply import Reply
from .resume import ResumeFile
from .scorers import Judge, Scorer, judges_of


class GridRun:
    """One run of a grid: workers that take cell after cell, and the caller, who waits for them."""

    def __init__(
        self,
        client: ChatClient,
        scorers: Mapping[str, Scorer | Judge],
        kept: ResumeFile,
        outcomes: dict[str, Outcome],
    ) -> None:
        self._client = client
        self._scorers = scorers
        self._kept = kept
        self._outcomes = outcomes
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._running: set[Reply] = set()
        self._failed = 0

    def work(self, cells: Sequence[Cell], workers: int, progress: bool, total: int) -> bool:
        """Runs the cells; True where Ctrl-C ended it. Blocks until every worker has ended."""
        todo: queue.SimpleQueue[Cell] = queue.SimpleQueue()
        for cell in cells:
            todo.put(cell)
        done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        threads = [
            threading.Thread(target=self._worker, args=(todo, done), name=f"experiment-{number}", daemon=True)
            for number in range(min(workers, len(cells)))
        ]
        interrupted = False
        bar = _bar(progress and bool(cells), total, total - len(cells))
        try:
            if cells:
                self._warm()
            for thread in threads:
                thread.start()
            for _ in cells:
                problem = _next(done)
                if problem is not None:
                    raise problem
                bar(1, self._failed)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            # Harmless after the last cell; a second Ctrl-C leaves at once, with daemon threads behind it.
            self._cancel()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            bar(0, self._failed)
        return interrupted

    def _warm(self) -> None:
        """Imports, connections, the model file: the first answers would have them in their latency."""
        with suppress(Exception):
            # What is wrong, the cells will say.
            getattr(self._client, "warm", lambda: None)()

    def _cancel(self) -> None:
        self._stop.set()
        with self._lock:
            running = list(self._running)
        for reply in running:
            reply.cancel()

    def _worker(self, todo: queue.SimpleQueue[Cell], done: queue.SimpleQueue[BaseException | None]) -> None:
        while not self._stop.is_set():
            try:
                cell = todo.get_nowait()
            except queue.Empty:
                return
            try:
                self._cell(cell)
                done.put(None)
            except BaseException as error:  # the caller raises it: a full disk must not look like a finished run
                done.put(error)

    def _cell(self, cell: Cell) -> None:
        outcome = self._outcomes.get(cell.key)
        if outcome is None:
            outcome = self._answer(cell)
            if outcome is None:
                return
            if outcome.error is None:
                # Before the judge is asked: what is paid for is kept, whatever comes.
                self._kept.append(cell, outcome)
            else:
                with self._lock:
                    self._failed += 1
            self._outcomes[cell.key] = outcome
        if outcome.error is None and self._judge(cell, outcome):
            self._kept.append(cell, outcome)

    def _answer(self, cell: Cell) -> Outcome | None:
        """The cell's request; None where it was stopped."""
        outcome = Outcome()
        try:
            reply = self._client.stream(cell.text, model=cell.model, system=cell.system, **dict(cell.params))
        except Exception as error:
            outcome.error = _told(error)
            return outcome
        self._read(reply, outcome)
        return None if outcome.stop_reason == "cancelled" else outcome

    def _read(self, reply: Reply, outcome: Outcome) -> None:
        """Reads a reply to its end. Times begin with the attempt that answers, not with the waits before it."""
        with self._lock:
            self._running.add(reply)
        if self._stop.is_set():
            reply.cancel()
        began = time.monotonic()
        try:
            for event in reply.events():
                if isinstance(event, Retrying):
                    outcome.retries += 1
                    outcome.waited += event.wait
                    began = time.monotonic() + event.wait
                elif outcome.ttft is None and isinstance(event, TextDelta):
                    outcome.ttft = max(0.0, time.monotonic() - began)
        except Exception as error:
            outcome.error = _told(error)
        finally:
            with self._lock:
                self._running.discard(reply)
        outcome.latency = max(0.0, time.monotonic() - began)
        outcome.text = reply.text
        outcome.stop_reason = reply.stop_reason
        outcome.usage = reply.usage or outcome.usage

    def _judge(self, cell: Cell, outcome: Outcome) -> bool:
        """Asks the judges that have not seen this answer; whether there are new verdicts."""
        new = False
        for _, judge in judges_of(self._scorers):
            client = judge.client or self._client
            key = judge.key(resolved(client, judge.model), cell.row)
            if key in outcome.verdicts:
                continue
            asked = Outcome()
            try:
                question = judge.question(cell.text, outcome.text, cell.row)
                reply = client.stream(question, model=judge.model, system=judge.system, max_tokens=judge.max_tokens)
                self._read(reply, asked)
            except Exception as error:
                asked.error = _told(error)
            if asked.error is not None:
                outcome.unjudged[key] = asked.error
            elif asked.stop_reason != "cancelled":
                outcome.verdicts[key] = judge.read(asked.text, asked.usage.cost)
                new = True
        return new


def resolved(client: ChatClient, model: str | None) -> str:
    """The id that is called. A model that there is not keeps its name: the cell's request will say what is wrong."""
    try:
        return client.model_info(model).id
    except AssistantError:
        return model or client.default_model


def _next(done: queue.SimpleQueue[BaseException | None]) -> BaseException | None:
    """The next report of a worker. Looks up now and then: a signal that another thread got doesn't wake this one."""
    while True:
        with suppress(queue.Empty):
            return done.get(timeout=0.5)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _bar(wanted: bool, total: int, done: int) -> Callable[[int, int], object]:
    """Moves a progress bar on and says how many cells failed so far; closes it for 0. Without tqdm there is none."""
    if wanted:
        with suppress(ModuleNotFoundError), warnings.catch_warnings():
            # A notebook without ipywidgets gets the plain bar, and no lecture about it.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm  # type: ignore[import-untyped]

            bar = tqdm(total=total, initial=done, unit="cell")

            def move(cells: int, failed: int) -> None:
                if failed:
                    bar.set_postfix(errors=failed, refresh=not cells)
                bar.update(cells) if cells else bar.close()

            return move
    return lambda cells, failed: None
