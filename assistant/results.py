"""Results: what an experiment gave, as a table, a comparison, a picture. pandas and matplotlib load when used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .cells import Cell, Outcome
from .errors import InvalidRequestError
from .jupyter import shown
from .messages import Usage
from .plots import draw_bars, draw_scatter, labels_of, needed
from .scorers import Judge, Scorer, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame  # type: ignore[import-untyped]

GROUPS = ("prompt", "model", "params")
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Comparison:
    """`a` against `b` on the same inputs. `difference` is the mean of b minus a, `low` and `high` its interval.

    `wins`, `losses` and `ties` count the inputs where b is better, worse, the same; `p_value` is that of the two-sided
    sign test on them: how likely a split this uneven is where neither is better.
    """

    a: str
    b: str
    score: str
    inputs: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    wins: int
    losses: int
    ties: int
    p_value: float

    def __str__(self) -> str:
        # One pair has no interval.
        interval = "" if math.isnan(self.low) else f" [{self.low:+.3f}, {self.high:+.3f}]"
        inputs = "1 input" if self.inputs == 1 else f"{self.inputs} inputs"
        return (
            f"{self.b} against {self.a} ({self.score}, {inputs}): {self.mean_b:.3f} - {self.mean_a:.3f} = "
            f"{self.difference:+.3f}{interval}, {self.wins} better, {self.losses} worse, "
            f"{self.ties} the same, p = {self.p_value:.3g}"
        )

    def _repr_markdown_(self) -> str:
        return str(self)


class Results:
    """The finished cells of an experiment, those that failed, and how good they are.

    `interrupted` tells that Ctrl-C ended the run; `missing` how many cells have neither an answer nor an error then.
    Functions as scorers are asked anew whenever results are made; a judge's verdicts were given when the cells ran.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        outcomes: Mapping[str, Outcome],
        scorers: Mapping[str, Scorer | Judge],
        judge_keys: Mapping[str, Mapping[str, str]] | None = None,
        *,
        interrupted: bool = False,
    ) -> None:
        self.cells = [cell for cell in cells if cell.key in outcomes]
        self.outcomes = {cell.key: outcomes[cell.key] for cell in self.cells}
        self.missing = len(cells) - len(self.cells)
        self.interrupted = interrupted
        self.scorers = dict(scorers)
        self._judge_keys = judge_keys or {}
        self._params = {name for cell in self.cells for name in cell.params}
        self._rows = [self._row(cell, self.outcomes[cell.key]) for cell in self.cells]

    def _row(self, cell: Cell, outcome: Outcome) -> dict[str, Any]:
        usage = outcome.usage
        row: dict[str, Any] = {
            "prompt": cell.prompt,
            "model": cell.model,
            "params": cell.params_label,
            "input": cell.input,
            "repeat": cell.repeat,
            **{name: value for name, value in cell.params.items() if isinstance(value, int | float | str)},
        }
        problems = []
        for name, scorer in self.scorers.items():
            row[name], problem = (None, None) if outcome.error else self._score(name, scorer, cell, outcome)
            problems += [f"{name}: {problem}"] if problem else []
            if isinstance(scorer, Judge):
                verdict = self._verdict(name, cell, outcome)
                row[f"{name}_reason"] = verdict.reason if verdict else None
        row |= {
            "text": outcome.text,
            "stop_reason": outcome.stop_reason,
            "error": outcome.error,
            "score_error": "; ".join(problems) or None,
            "latency": outcome.latency,
            "ttft": outcome.ttft,
            "waited": outcome.waited,
            "retries": outcome.retries,
            "input_tokens": usage.total_input_tokens,
            "output_tokens": usage.output_tokens,
            "cost": usage.cost,
        }
        return row | {name: value for name, value in cell.row.items() if name not in row and name not in self._params}

    def _verdict(self, name: str, cell: Cell, outcome: Outcome) -> Verdict | None:
        return outcome.verdicts.get(self._judge_key(name, cell))

    def _judge_key(self, name: str, cell: Cell) -> str:
        return self._judge_keys.get(name, {}).get(cell.key, "")

    def _score(
        self, name: str, scorer: Scorer | Judge, cell: Cell, outcome: Outcome
    ) -> tuple[float | None, str | None]:
        """The score, and what went wrong: a scorer that fails spoils its own cell and nothing else."""
        if isinstance(scorer, Judge):
            verdict = self._verdict(name, cell, outcome)
            if verdict is None:
                return None, outcome.unjudged.get(self._judge_key(name, cell), "not judged")
            return verdict.score, verdict.reason if verdict.score is None else None
        try:
            score = scorer(outcome.text, cell.row)
            return None if score is None else float(score), None
        except Exception as error:
            return None, f"{type(error).__name__}: {error}"

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def errors(self) -> list[tuple[Cell, str]]:
        """The cells that failed, and with what."""
        found = ((cell, self.outcomes[cell.key].error) for cell in self.cells)
        return [(cell, error) for cell, error in found if error is not None]

    @property
    def usage(self) -> Usage:
        """The sum over all cells, those that an earlier run paid for included; without the judges."""
        return sum((outcome.usage for outcome in self.outcomes.values()), Usage())

    @property
    def judge_cost(self) -> float | None:
        """USD for all verdicts; None where the price of one is not known."""
        costs = [verdict.cost for outcome in self.outcomes.values() for verdict in outcome.verdicts.values()]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    def frame(self) -> DataFrame:
        """One row a cell: its place in the grid, a column for each score, the answer, times (s), tokens, USD.

        A judge's reasons stand beside its score. Last come the columns of the input's row, but for names that are
        taken already: `summary(["prompt", "language"])` tells them apart.
        """
        return _pandas().DataFrame(self._rows)

    def summary(
        self,
        by: str | Sequence[str] = GROUPS,
        *,
        confidence: float = 0.95,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> DataFrame:
        """One row for each combination of `by`: mean scores with their interval, times, tokens, cost.

        `by` names columns of `frame()`. The interval is a percentile bootstrap over inputs: the mean of a group is
        taken anew from `resamples` draws, with replacement, of its inputs, each with all of its repeats, since repeats
        of one input are no independent evidence. `seed` makes it the same each time. It needs two inputs. Cells that
        failed count in `errors` and nowhere else. Latency and time to the first text are medians in seconds, tokens
        are means, cost is the sum in USD, empty where a price is not known. Raises InvalidRequestError where there is
        no such column.
        """
        pandas = _pandas()
        by, frame = _names(by), self.frame()
        if frame.empty:
            return pandas.DataFrame(columns=[*by, "n", "errors"])
        unknown = [name for name in by if name not in frame]
        if unknown:
            raise InvalidRequestError(
                f"The results have no column {', '.join(unknown)}.", hint="They have " + ", ".join(frame.columns)
            )
        rows = []
        for group, part in frame.groupby(by, sort=False, dropna=False):
            good = part[part["error"].isna()]
            row = {**dict(zip(by, group, strict=True)), "n": len(part), "errors": len(part) - len(good)}
            for name in self.scorers:
                means = good.groupby("input")[name].mean().dropna().tolist()
                low, high = bootstrap(means, confidence=confidence, resamples=resamples, seed=seed)
                row |= {name: _mean(means), f"{name}_low": low, f"{name}_high": high}
            row |= {name: good[name].median() for name in ("latency", "ttft")}
            row |= {name: good[name].mean() for name in ("input_tokens", "output_tokens")}
            row["cost"] = math.nan if good["cost"].isna().any() else good["cost"].sum()
            rows.append(row)
        return pandas.DataFrame(rows)

    def compare(
        self,
        a: str | Mapping[str, str],
        b: str | Mapping[str, str],
        *,
        score: str | None = None,
        confidence: float = 0.95,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> Comparison:
        """`b` against `a`, paired: only inputs that both answered count, each against itself.

        Each of the two names a prompt, a model or the label of params, or several: {"prompt": "1-shot", "params":
        "temperature=0"}. What they do not name is paired too: each model with itself. Raises InvalidRequestError where
        a name is unknown or nothing pairs.
        """
        name = self._score_name(score)
        left, right = self._selected(a), self._selected(b)
        fixed = {key for selection in (left, right) for key in selection}
        free = [group for group in GROUPS if group not in fixed]
        means = [self._means(selection, free, name) for selection in (left, right)]
        pairs: dict[int, list[tuple[float, float]]] = {}
        for place in means[0].keys() & means[1].keys():
            pairs.setdefault(place[0], []).append((means[0][place], means[1][place]))
        if not pairs:
            raise InvalidRequestError(f"No input was answered by both {a} and {b}.")
        of_a = [_mean([pair[0] for pair in pairs[key]]) for key in sorted(pairs)]
        of_b = [_mean([pair[1] for pair in pairs[key]]) for key in sorted(pairs)]
        differences = [right - left for left, right in zip(of_a, of_b, strict=True)]
        low, high = bootstrap(differences, confidence=confidence, resamples=resamples, seed=seed)
        # Means of thirds differ in their last digit; that is no win.
        wins = sum(difference > 1e-9 for difference in differences)
        losses = sum(difference < -1e-9 for difference in differences)
        return Comparison(
            *(_said(a), _said(b), name, len(pairs), _mean(of_a), _mean(of_b), _mean(differences), low, high),
            *(wins, losses, len(pairs) - wins - losses, sign_test(wins, losses)),
        )

    def _score_name(self, score: str | None) -> str:
        if not self.scorers:
            raise InvalidRequestError("This experiment has no scorer.", hint="Experiment(…, score=…)")
        name = next(iter(self.scorers)) if score is None else score
        if name not in self.scorers:
            raise InvalidRequestError(f"There is no score {name!r}.", hint="There is: " + ", ".join(self.scorers))
        return name

    def _selected(self, wanted: str | Mapping[str, str]) -> dict[str, str]:
        known = {group: {row[group] for row in self._rows} for group in GROUPS}
        if isinstance(wanted, str):
            group = next((group for group in GROUPS if wanted in known[group]), None)
            wanted = {group: wanted} if group else {"prompt": wanted}
        for group, value in wanted.items():
            if value not in known.get(group, ()):
                names = "; ".join(f"{key}: {', '.join(sorted(values))}" for key, values in known.items())
                raise InvalidRequestError(f"The results hold no {group} {value!r}.", hint=f"They hold {names}.")
        return dict(wanted)

    def _means(self, selection: Mapping[str, str], free: Sequence[str], name: str) -> dict[tuple[Any, ...], float]:
        scores: dict[tuple[Any, ...], list[float]] = {}
        for row in self._rows:
            if row[name] is not None and all(row[key] == value for key, value in selection.items()):
                scores.setdefault((row["input"], *(row[group] for group in free)), []).append(row[name])
        return {place: _mean(values) for place, values in scores.items()}

    def plot(
        self,
        score: str | None = None,
        *,
        kind: Literal["bars", "scatter"] = "bars",
        x: Literal["cost", "latency", "ttft", "input_tokens", "output_tokens"] = "latency",
        by: str | Sequence[str] = GROUPS,
        ax: Axes | None = None,
    ) -> Axes:
        """The mean score of each combination of `by` with its interval: as bars, or against `x`, as a scatter plot.

        Raises InvalidRequestError where nothing was scored, or no cell is finished.
        """
        name = self._score_name(score)
        if not self._rows:
            raise InvalidRequestError("No cell is finished: there is nothing to draw.", hint="run() the experiment.")
        by = _names(by)
        # What is the same everywhere needs no place in a label.
        telling = [key for key in by if len({row.get(key) for row in self._rows}) > 1] or by[:1]
        summary = self.summary(telling)
        labels = labels_of(summary, telling, {cell.params_label: cell.params for cell in self.cells})
        return draw_bars(summary, name, labels, ax) if kind == "bars" else draw_scatter(summary, name, labels, x, ax)

    def to_csv(self, path: str | Path | None = None) -> str:
        """`frame()` as CSV; written to `path` too where one is given."""
        text: str = self.frame().to_csv(index=False)
        if path is not None:
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(text)
        return text

    def to_markdown(self) -> str:
        """`summary()` as a Markdown table, what went wrong, and the rubrics of the judges."""
        summary = self.summary()
        lines = ["| " + " | ".join(summary.columns) + " |", "|" + " --- |" * len(summary.columns)]
        lines += ["| " + " | ".join(map(_shown, row)) + " |" for row in summary.itertuples(index=False)]
        return "\n".join([*lines, "", *self._remarks()])

    def _remarks(self) -> list[str]:
        remarks = []
        if self.interrupted:
            remarks.append(f"Interrupted: {self.missing} cells were not run.")
        if self.errors:
            remarks.append(f"{len(self.errors)} cells failed, the first with: {_one_line(self.errors[0][1])}")
        unscored = [row["score_error"] for row in self._rows if row["score_error"]]
        if unscored:
            remarks.append(f"{len(unscored)} cells were not scored, the first because of {_one_line(unscored[0])}")
        for name, scorer in self.scorers.items():
            if isinstance(scorer, Judge):
                remarks.append(f"{name} is judged by {scorer.model or 'the default model'}: {scorer.rubric.strip()}")
        return remarks

    def _repr_markdown_(self) -> str:
        return shown(self.to_markdown())

    def _repr_html_(self) -> str:
        import html

        table: str = self.summary().to_html(index=False, float_format=lambda value: f"{value:.3g}", na_rep="")
        return table + "".join(f"<p>{html.escape(remark)}</p>" for remark in self._remarks())

    def __repr__(self) -> str:
        return f"<Results {len(self.cells)} cells, {len(self.errors)} errors, {self.missing} missing>"


def bootstrap(
    values: Sequence[float], *, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """The percentile interval of the mean of `values`, drawn anew `resamples` times; NaN for fewer than two."""
    if len(values) < 2:
        return math.nan, math.nan
    numpy = needed("numpy")
    given = numpy.asarray(values, dtype=float)
    draws = numpy.random.default_rng(seed).integers(0, len(given), (resamples, len(given)))
    tail = (1 - confidence) / 2
    low, high = numpy.quantile(given[draws].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)


def sign_test(wins: int, losses: int) -> float:
    """Two-sided, exact: how likely a split at least this uneven is by a fair coin. 1 where there is no difference."""
    trials = wins + losses
    tail = sum(math.comb(trials, count) for count in range(min(wins, losses) + 1))
    return min(1.0, float(2 * tail / 2**trials))


def _mean(values: Iterable[float]) -> float:
    given = list(values)
    return math.fsum(given) / len(given) if given else math.nan


def _names(by: str | Sequence[str]) -> list[str]:
    return [by] if isinstance(by, str) else list(by)


def _said(selection: str | Mapping[str, str]) -> str:
    return selection if isinstance(selection, str) else ", ".join(selection.values())


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3g}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _pandas() -> Any:
    return needed("pandas")
