"""Experiment: a grid of prompts, models, parameters and inputs; each cell is one request, and is paid for once.

experiment = Experiment(
    prompts={"0-shot": "Capital of {country}?", "1-shot": "Capital of Peru? Lima. Capital of {country}?"},
    models=["claude-haiku-4-5"],
    params=[{"temperature": 0.0, "max_tokens": 30}],
    inputs=[{"country": "Chile", "expected": "Santiago"}],
    score=contains(),
)
experiment.dry_run()
experiment.run(resume="results.jsonl").summary()
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from .catalog import ModelInfo
from .clients.base import ChatClient, connect
from .errors import AssistantError, BudgetExceededError, InvalidRequestError, PromptError
from .messages import Message, Retrying, TextDelta, Usage
from .prompts import FewShotPrompt, PromptTemplate
from .reply import Reply
from .results import Cell, Outcome, Results, label_of
from .scorers import Judge, Scorer, judges_of
from .tokens import estimate_request

__all__ = ["Cell", "DryRun", "Experiment", "Outcome", "Results"]

Prompt = PromptTemplate | FewShotPrompt | str

_PARAMS = ("temperature", "top_p", "max_tokens", "stop_sequences", "effort", "thinking", "extra")


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run would take: estimates before it, made offline.

    `calls` counts cells that are not finished yet, `judge_calls` the verdicts still to be asked for. `input_tokens` is
    an estimate (within 16 % or so), `output_tokens` the most there can be: each cell's max_tokens. So `cost` (USD) is
    an upper bound as good as the first; None where the price of a model in `unpriced` is not known.
    """

    cells: int
    calls: int
    judge_calls: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    unpriced: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __str__(self) -> str:
        judged = f" and {self.judge_calls} verdicts" if self.judge_calls else ""
        cost = f"the price of {', '.join(self.unpriced)} is not known" if self.cost is None else f"{self.cost:.4f} USD"
        return (
            f"{self.calls} requests{judged} for {self.cells} cells: about {self.input_tokens:,} input tokens and at "
            f"most {self.output_tokens:,} output tokens, at most about {cost}"
        )

    def _repr_markdown_(self) -> str:
        return str(self)


class Experiment:
    """Every prompt with every model, every set of parameters and every input, `repeats` times each.

    `prompts` are templates by name; a prompt takes the variables it names from a row of `inputs`, which may hold more:
    what scorers compare with. `models`: None stands for the client's default. `params` are keywords of
    `client.stream`: temperature, top_p, max_tokens, stop_sequences, effort, thinking, extra. `system` is one text for
    all prompts, or a mapping by their names. `score` is a scorer, or several by name (see scorers.py). `client`: None
    means `connect()`, at the first use.

    Nothing is sent before `run()`. Raises PromptError for variables that a row does not have, InvalidRequestError for
    empty axes, parameters that are none, and values that JSON can't hold.
    """

    def __init__(
        self,
        *,
        prompts: Mapping[str, Prompt],
        inputs: Iterable[Mapping[str, Any]],
        models: Sequence[str | None] = (None,),
        params: Sequence[Mapping[str, Any]] = ({},),
        repeats: int = 1,
        score: Scorer | Judge | Mapping[str, Scorer | Judge] | None = None,
        client: ChatClient | None = None,
        system: str | Mapping[str, str | None] | None = None,
    ) -> None:
        self.prompts = {
            name: PromptTemplate(prompt) if isinstance(prompt, str) else prompt for name, prompt in prompts.items()
        }
        self.inputs = [dict(row) for row in inputs]
        self.models = tuple(models)
        self.params = tuple(dict(given) for given in params)
        self.repeats = repeats
        self.scorers = _named_scorers(score)
        self._client = client
        self._systems = {name: system.get(name) if isinstance(system, Mapping) else system for name in self.prompts}
        self._check(system)

    def _check(self, system: str | Mapping[str, str | None] | None) -> None:
        axes = {"prompts": self.prompts, "models": self.models, "params": self.params, "inputs": self.inputs}
        empty = [name for name, axis in axes.items() if not axis]
        if empty or self.repeats < 1:
            raise InvalidRequestError(f"There is nothing to run: {', '.join(empty) or 'repeats'} must not be empty.")
        unknown = sorted({name for given in self.params for name in given if name not in _PARAMS})
        if unknown:
            raise InvalidRequestError(f"No such parameters: {', '.join(unknown)}.", hint="Known: " + ", ".join(_PARAMS))
        strange = [name for name in system if name not in self.prompts] if isinstance(system, Mapping) else []
        if strange:
            raise PromptError(f"system names prompts that are not there: {', '.join(strange)}.")
        labels = [label_of(given) for given in self.params]
        if len(set(labels)) < len(labels) or len(set(self.models)) < len(self.models):
            raise InvalidRequestError("Two models or two params are the same.", hint="repeats= asks again.")
        for name, prompt in self.prompts.items():
            for number, row in enumerate(self.inputs):
                missing = [variable for variable in prompt.variables if variable not in row]
                if missing:
                    raise PromptError(f"The prompt {name!r} wants {', '.join(missing)}; input {number} has none.")

    @property
    def client(self) -> ChatClient:
        if self._client is None:
            self._client = connect()
        return self._client

    def __len__(self) -> int:
        """The number of cells."""
        return len(self.prompts) * len(self.models) * len(self.params) * len(self.inputs) * self.repeats

    def cells(self) -> list[Cell]:
        """All cells with the exact text of their requests, inputs outermost: an early end has seen every prompt."""
        resolved = {model: _resolved(self.client, model) for model in self.models}
        seen: dict[str, int] = {}
        cells = []
        for index, row in enumerate(self.inputs):
            for name, prompt in self.prompts.items():
                text = prompt.format(**{variable: row[variable] for variable in prompt.variables})
                for model in self.models:
                    for given in self.params:
                        request = _digest([text, self._systems[name], resolved[model], given])
                        for repeat in range(self.repeats):
                            # Two cells with the same request are two answers: the second has a key of its own.
                            count = seen[request] = seen.get(request, -1) + 1
                            cells.append(
                                Cell(
                                    *(name, model or resolved[model], given, index, row, repeat, text),
                                    *(self._systems[name], resolved[model], f"{request}.{count}"),
                                )
                            )
        return cells

    def dry_run(self, *, resume: str | Path | None = None) -> DryRun:
        """How many requests, and about what they cost. Sends nothing; with `resume`, without what is finished."""
        return self._estimate(*self._pending(self.cells(), ResumeFile.read(resume)))

    def run(
        self,
        workers: int = 8,
        *,
        resume: str | Path | None = None,
        max_cells: int | None = 1000,
        max_tokens: int | None = 2_000_000,
        max_usd: float | None = 5.0,
        progress: bool = True,
    ) -> Results:
        """Runs what is not finished, `workers` requests at a time, blocking; works inside a running event loop.

        Before the first request the run is estimated (see `dry_run`), and BudgetExceededError is raised where it needs
        more than `max_cells` requests, `max_tokens` tokens or `max_usd`; None takes a bound away, and a price that is
        not known needs max_usd=None. `resume` is a JSON Lines file: a cell is appended as soon as it is finished, and
        one that is in it is not run again; only one run may use it at a time. A cell that fails keeps its error in
        the results, and runs again next time. Throttling is waited out by the client. Ctrl-C stops the running
        requests and returns what is done, marked `interrupted`.
        """
        if workers < 1:
            raise InvalidRequestError(f"workers is {workers}; it is 1 or more.")
        # Before the cells are made: there may be very many.
        if max_cells is not None and resume is None and len(self) > max_cells:
            raise _exceeded("max_cells", f"{len(self)} requests", max_cells)
        cells = self.cells()
        with ResumeFile.open(resume) as kept:
            pending, unjudged = self._pending(cells, kept.outcomes)
            self._check_bounds(self._estimate(pending, unjudged), max_cells, max_tokens, max_usd)
            outcomes = dict(kept.outcomes)
            grid = _Run(self, kept, outcomes)
            interrupted = grid.work([*pending, *unjudged], workers, progress, len(cells))
        return Results(cells, outcomes, self.scorers, self._judge_keys(cells), interrupted=interrupted)

    def results(self, resume: str | Path) -> Results:
        """What is finished in a file, scored anew. Sends nothing."""
        cells = self.cells()
        return Results(cells, ResumeFile.read(resume), self.scorers, self._judge_keys(cells))

    def _judge_keys(self, cells: Sequence[Cell]) -> dict[str, dict[str, str]]:
        keys: dict[str, dict[str, str]] = {}
        for name, judge in judges_of(self.scorers):
            model = _resolved(judge.client or self.client, judge.model)
            keys[name] = {cell.key: judge.key(model, cell.row) for cell in cells}
        return keys

    def _pending(self, cells: Sequence[Cell], done: Mapping[str, Outcome]) -> tuple[list[Cell], list[Cell]]:
        """The cells to run, and the finished ones that a judge has not seen."""
        keys = self._judge_keys(cells)
        unjudged = [
            cell
            for cell in cells
            if cell.key in done and any(of[cell.key] not in done[cell.key].verdicts for of in keys.values())
        ]
        return [cell for cell in cells if cell.key not in done], unjudged

    def _estimate(self, pending: Sequence[Cell], unjudged: Sequence[Cell]) -> DryRun:
        bill = _Bill()
        for cell in pending:
            bill.add(self.client, cell.model, cell.text, cell.system, cell.params.get("max_tokens"))
        verdicts = 0
        for _, judge in judges_of(self.scorers):
            client = judge.client or self.client
            for cell in [*pending, *unjudged]:
                info = bill.info(self.client, cell.model)
                answer = cell.params.get("max_tokens") or (info.default_max_tokens if info else 0)
                asked = judge.question(cell.text, "", cell.row)
                bill.add(client, judge.model, asked, judge.system, judge.max_tokens, more=answer)
                verdicts += 1
        cost = None if bill.unpriced else bill.cost
        counts = (len(self), len(pending), verdicts, bill.input_tokens, bill.output_tokens)
        return DryRun(*counts, cost, tuple(bill.unpriced))

    def _check_bounds(
        self, estimate: DryRun, max_cells: int | None, max_tokens: int | None, max_usd: float | None
    ) -> None:
        if max_cells is not None and estimate.calls > max_cells:
            raise _exceeded("max_cells", f"{estimate.calls} requests", max_cells)
        if max_tokens is not None and estimate.tokens > max_tokens:
            said = f"{estimate.tokens:,} tokens ({estimate.input_tokens:,} in, up to {estimate.output_tokens:,} out)"
            raise _exceeded("max_tokens", said, max_tokens, " A smaller max_tokens in params lowers what is needed.")
        if max_usd is not None and estimate.cost is None:
            raise BudgetExceededError(
                f"The price of {', '.join(estimate.unpriced)} is not known, so max_usd={max_usd} can't be kept.",
                hint="max_usd=None runs it all the same; max_tokens still holds.",
            )
        if max_usd is not None and estimate.cost is not None and estimate.cost > max_usd:
            raise _exceeded("max_usd", f"up to {estimate.cost:.4f} USD", max_usd)

    def __repr__(self) -> str:
        axes = f"{len(self.prompts)} prompts, {len(self.models)} models, {len(self.params)} params"
        return f"<Experiment {len(self)} cells: {axes}, {len(self.inputs)} inputs, {self.repeats} repeats>"


class _Run:
    """One run of a grid: workers that take cell after cell, and the caller, who waits for them."""

    def __init__(self, experiment: Experiment, kept: ResumeFile, outcomes: dict[str, Outcome]) -> None:
        self._experiment = experiment
        self._kept = kept
        self._outcomes = outcomes
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._running: set[Reply] = set()

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
            for thread in threads:
                thread.start()
            for _ in cells:
                problem = _next(done)
                if problem is not None:
                    raise problem
                bar(1)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            # Harmless after the last cell; a second Ctrl-C leaves at once, with daemon threads behind it.
            self._cancel()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            bar(0)
        return interrupted

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
            self._outcomes[cell.key] = outcome
        if outcome.error is None and self._judge(cell, outcome):
            self._kept.append(cell, outcome)

    def _answer(self, cell: Cell) -> Outcome | None:
        """The cell's request; None where it was stopped."""
        outcome = Outcome()
        try:
            reply = self._experiment.client.stream(cell.text, model=cell.model, system=cell.system, **dict(cell.params))
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
        for _, judge in judges_of(self._experiment.scorers):
            client = judge.client or self._experiment.client
            key = judge.key(_resolved(client, judge.model), cell.row)
            if key in outcome.verdicts:
                continue
            asked = Outcome()
            try:
                question = judge.question(cell.text, outcome.text, cell.row)
                reply = client.stream(question, model=judge.model, system=judge.system, max_tokens=judge.max_tokens)
                self._read(reply, asked)
            except Exception as error:
                asked.error = _told(error)
            if asked.error is None and asked.stop_reason != "cancelled":
                outcome.verdicts[key] = judge.read(asked.text, asked.usage.cost)
                new = True
        return new


class _Bill:
    """Adds up what requests are about to cost."""

    def __init__(self) -> None:
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost = 0.0
        self.unpriced: dict[str, None] = {}
        self._infos: dict[tuple[int, str | None], ModelInfo | None] = {}

    def info(self, client: ChatClient, model: str | None) -> ModelInfo | None:
        """Looked up once: some clients read a directory for it."""
        place = (id(client), model)
        if place not in self._infos:
            self._infos[place] = None
            with suppress(AssistantError):
                self._infos[place] = client.model_info(model)
        return self._infos[place]

    def add(
        self,
        client: ChatClient,
        model: str | None,
        text: str,
        system: str | None,
        max_tokens: int | None,
        *,
        more: int = 0,
    ) -> None:
        """One request; `more` input tokens are still to come."""
        info = self.info(client, model)
        if info is None:
            # There is no such model: the cell will say so, and nothing is paid for it.
            return
        tokens = estimate_request([Message("user", text)], system, info.id) + more
        output = max_tokens or info.default_max_tokens
        self.input_tokens += tokens
        self.output_tokens += output
        cost = 0.0 if info.provider == "local" else info.cost(Usage(tokens, output, cost=None))
        if cost is None:
            self.unpriced[info.id] = None
        else:
            self.cost += cost


def _resolved(client: ChatClient, model: str | None) -> str:
    """The id that is called. A model that there is not keeps its name: the cell's request will say what is wrong."""
    try:
        return client.model_info(model).id
    except AssistantError:
        return model or client.default_model


def _digest(request: Sequence[Any]) -> str:
    try:
        said = json.dumps(request, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"The params hold what JSON does not: {error}.") from error
    # Half a surrogate pair can't be encoded, and is a text like any other here.
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def _named_scorers(score: Scorer | Judge | Mapping[str, Scorer | Judge] | None) -> dict[str, Scorer | Judge]:
    if score is None:
        return {}
    if isinstance(score, Mapping):
        return dict(score)
    return {"score": score}


def _next(done: queue.SimpleQueue[BaseException | None]) -> BaseException | None:
    """The next report of a worker. Looks up now and then: a signal that another thread got doesn't wake this one."""
    while True:
        with suppress(queue.Empty):
            return done.get(timeout=0.5)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _exceeded(argument: str, needed: str, bound: float, more: str = "") -> BudgetExceededError:
    return BudgetExceededError(
        f"The run needs {needed}; {argument} is {bound:,}.",
        hint=f"run(…, {argument}=…) raises it; dry_run() shows the estimate.{more}",
    )


def _bar(wanted: bool, total: int, done: int) -> Callable[[int], object]:
    """Moves a progress bar on, and closes it for 0. Without tqdm there is none."""
    if wanted:
        with suppress(ModuleNotFoundError), warnings.catch_warnings():
            # A notebook without ipywidgets gets the plain bar, and no lecture about it.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm  # type: ignore[import-untyped]

            bar = tqdm(total=total, initial=done, unit="cell")
            return lambda cells: bar.update(cells) if cells else bar.close()
    return lambda cells: None


# --- what is kept -----------------------------------------------------------------------------------------------------

_BEGINNING = b'{"key": "'


class ResumeFile:
    """What is finished (`outcomes`, by key), and a place for more. Safe under threads; one process at a time writes.

    A line goes out in one write and is flushed at once, so that a killed process leaves at most a torn last line: that
    one is ignored, and cut off before the next. A later line of the same key counts instead of an earlier one.
    """

    def __init__(self, file: IO[bytes] | None, outcomes: dict[str, Outcome]) -> None:
        self.outcomes = outcomes
        self._file = file
        self._lock = threading.Lock()

    @classmethod
    def read(cls, path: str | Path | None) -> dict[str, Outcome]:
        """What a file holds; nothing where there is none. Raises InvalidRequestError for a file of another kind."""
        if path is None or not Path(path).exists():
            return {}
        return _parsed(Path(path).read_bytes(), path)[0]

    @classmethod
    def open(cls, path: str | Path | None) -> ResumeFile:
        """To read and append; None keeps nothing. Raises InvalidRequestError where another run has it open."""
        if path is None:
            return cls(None, {})
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+b", buffering=0)  # noqa: SIM115 - closed by __exit__
        try:
            _take(file, path)
            file.seek(0)
            outcomes, whole = _parsed(file.read(), path)
            file.truncate(whole)
        except BaseException:
            file.close()
            raise
        return cls(file, outcomes)

    def append(self, cell: Cell, outcome: Outcome) -> None:
        """Keeps a finished cell. Raises OSError where the disk is full."""
        if self._file is None:
            return
        place = {"key": cell.key, "prompt": cell.prompt, "model": cell.model, "params": dict(cell.params)}
        line = json.dumps({**place, "input": cell.input, "repeat": cell.repeat, **outcome.to_dict()}) + "\n"
        with self._lock:
            data = line.encode()
            while data:
                data = data[self._file.write(data) :]

    def __enter__(self) -> ResumeFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def _parsed(data: bytes, path: str | Path) -> tuple[dict[str, Outcome], int]:
    """What is finished, and how many bytes of the file are whole lines."""
    outcomes: dict[str, Outcome] = {}
    whole = data.rfind(b"\n") + 1
    torn = data[whole:]
    if torn and not (torn.startswith(_BEGINNING) or _BEGINNING.startswith(torn)):
        # Cutting off the end of somebody's other file would be worse than stopping here.
        raise _foreign(path, data.count(b"\n") + 1)
    for number, line in enumerate(data[:whole].splitlines(), start=1):
        try:
            read: dict[str, Any] = json.loads(line)
            outcomes[read["key"]] = Outcome.from_dict(read)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _foreign(path, number) from error
    return outcomes, whole


def _foreign(path: str | Path, line: int) -> InvalidRequestError:
    return InvalidRequestError(
        f"Line {line} of {path} is not a cell of an experiment.", hint="Give resume= a file of its own."
    )


def _take(file: IO[bytes], path: str | Path) -> None:
    """Two runs with one file would pay for the same cells. Ends with the process, however it ends."""
    with suppress(ImportError):
        # Not on Windows, where nothing guards against it.
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidRequestError(f"Another run is using {os.fspath(path)}.", hint="Wait for it.") from error
