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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .bill import Bill, DryRun
from .cells import Cell, Outcome, label_of
from .clients.base import ChatClient, connect
from .errors import BudgetExceededError, InvalidRequestError, PromptError
from .grid import GridRun, resolved
from .prompts import FewShotPrompt, PromptTemplate
from .results import Results
from .resume import ResumeFile
from .scorers import Judge, Scorer, columns_of, judges_of

__all__ = ["Cell", "DryRun", "Experiment", "Outcome", "Results"]

Prompt = PromptTemplate | FewShotPrompt | str

_PARAMS = ("temperature", "top_p", "max_tokens", "stop_sequences", "effort", "thinking", "extra")


class Experiment:
    """Every prompt with every model, every set of parameters and every input, `repeats` times each.

    `prompts` are templates by name; a prompt takes the variables it names from a row of `inputs`, which may hold more:
    what scorers compare with; `frame.to_dict("records")` makes them of a data frame. `models`: None stands for the
    client's default. `params` are keywords of `client.stream`: temperature, top_p, max_tokens, stop_sequences, effort,
    thinking, extra. One model, set of params or row of inputs needs no list around it. `system` is one text for
    all prompts, or a mapping by their names. `score` is a scorer, or several by name (see scorers.py). `client`: None
    means `connect()`, at the first use.

    Nothing is sent before `run()`. Raises PromptError for what prompts and scorers want and a row does not have,
    InvalidRequestError for empty axes, parameters that are none, and values that JSON can't hold.
    """

    def __init__(
        self,
        *,
        prompts: Mapping[str, Prompt],
        inputs: Mapping[str, Any] | Iterable[Mapping[str, Any]],
        models: str | Sequence[str | None] = (None,),
        params: Mapping[str, Any] | Sequence[Mapping[str, Any]] = ({},),
        repeats: int = 1,
        score: Scorer | Judge | Mapping[str, Scorer | Judge] | None = None,
        client: ChatClient | None = None,
        system: str | Mapping[str, str | None] | None = None,
    ) -> None:
        self.prompts = {
            name: PromptTemplate(prompt) if isinstance(prompt, str) else prompt
            for name, prompt in _mapping(prompts, "prompts", '{"plain": "Capital of {country}?"}').items()
        }
        self.inputs = _mappings(inputs, "inputs", '[{"country": "Chile"}]')
        self.models = (models,) if isinstance(models, str) else tuple(models)
        self.params = tuple(_mappings(params, "params", '[{"temperature": 0.0}]'))
        self.repeats = repeats
        self.scorers = _named_scorers(score)
        self._client = client
        self._systems = {name: system.get(name) if isinstance(system, Mapping) else system for name in self.prompts}
        self._check(system)

    def _check(self, system: str | Mapping[str, str | None] | None) -> None:
        axes = {"prompts": self.prompts, "models": self.models, "params": self.params, "inputs": self.inputs}
        empty = [name for name, axis in axes.items() if not axis]
        if empty:
            raise InvalidRequestError(f"There is nothing to run: {', '.join(empty)} must not be empty.")
        if self.repeats < 1:
            raise InvalidRequestError(f"repeats is {self.repeats}; it is 1 or more.")
        unknown = sorted({name for given in self.params for name in given if name not in _PARAMS})
        if unknown:
            raise InvalidRequestError(f"No such parameters: {', '.join(unknown)}.", hint="Known: " + ", ".join(_PARAMS))
        strange = [name for name in system if name not in self.prompts] if isinstance(system, Mapping) else []
        if strange:
            raise PromptError(f"system names prompts that are not there: {', '.join(strange)}.")
        labels = [label_of(given) for given in self.params]
        if len(set(labels)) < len(labels) or len(set(self.models)) < len(self.models):
            raise InvalidRequestError("Two models or two params are the same.", hint="repeats= asks again.")
        wanted = {f"prompt {name!r}": prompt.variables for name, prompt in self.prompts.items()}
        for name, scorer in self.scorers.items():
            if not callable(scorer):
                raise InvalidRequestError(f"The score {name!r} is {scorer!r}, which is no function.")
            wanted[f"score {name!r}"] = columns_of(scorer)
        for who, columns in wanted.items():
            for number, row in enumerate(self.inputs):
                missing = [column for column in columns if column not in row]
                if missing:
                    raise PromptError(f"The {who} wants {', '.join(missing)}; input {number} has none.")

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
        called = {model: resolved(self.client, model) for model in self.models}
        seen: dict[str, int] = {}
        cells = []
        for index, row in enumerate(self.inputs):
            for name, prompt in self.prompts.items():
                text = prompt.format(**{variable: row[variable] for variable in prompt.variables})
                for model in self.models:
                    for given in self.params:
                        request = _digest([text, self._systems[name], called[model], given])
                        for repeat in range(self.repeats):
                            # Two cells with the same request are two answers: the second has a key of its own.
                            count = seen[request] = seen.get(request, -1) + 1
                            cells.append(
                                Cell(
                                    *(name, model or called[model], given, index, row, repeat, text),
                                    *(self._systems[name], called[model], f"{request}.{count}"),
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
            grid = GridRun(self.client, self.scorers, kept, outcomes)
            interrupted = grid.work([*pending, *unjudged], workers, progress, len(cells))
        return Results(cells, outcomes, self.scorers, self._judge_keys(cells), interrupted=interrupted)

    def results(self, resume: str | Path) -> Results:
        """What is finished in a file, scored anew. Sends nothing."""
        cells = self.cells()
        return Results(cells, ResumeFile.read(resume), self.scorers, self._judge_keys(cells))

    def _judge_keys(self, cells: Sequence[Cell]) -> dict[str, dict[str, str]]:
        keys: dict[str, dict[str, str]] = {}
        for name, judge in judges_of(self.scorers):
            model = resolved(judge.client or self.client, judge.model)
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
        bill = Bill()
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
            raise _exceeded("max_usd", f"up to {estimate.cost:.6f} USD", max_usd)

    def __repr__(self) -> str:
        axes = f"{len(self.prompts)} prompts, {len(self.models)} models, {len(self.params)} params"
        return f"<Experiment {len(self)} cells: {axes}, {len(self.inputs)} inputs, {self.repeats} repeats>"


def _mapping(given: Any, argument: str, example: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        # A data frame, say, gives the names of its columns.
        raise InvalidRequestError(f"{argument}: {given!r:.60} is no mapping.", hint=f"Like {example}.")
    return given


def _mappings(
    given: Mapping[str, Any] | Iterable[Mapping[str, Any]], argument: str, example: str
) -> list[dict[str, Any]]:
    rows = [given] if isinstance(given, Mapping) else given
    return [dict(_mapping(row, argument, example)) for row in rows]


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


def _exceeded(argument: str, needed: str, bound: float, more: str = "") -> BudgetExceededError:
    return BudgetExceededError(
        f"The run needs {needed}; {argument} is {bound:,}.",
        hint=f"run(…, {argument}=…) raises it; dry_run() shows the estimate.{more}",
    )
