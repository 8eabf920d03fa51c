"""Pictures of a summary: bars, and a scatter plot. matplotlib is loaded when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .errors import AssistantError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame  # type: ignore[import-untyped]

_UNITS = {
    "cost": "USD in all",
    "latency": "seconds an answer (median)",
    "ttft": "seconds to the first text (median)",
    "input_tokens": "input tokens (mean)",
    "output_tokens": "output tokens (mean)",
}


def _axes(ax: Axes | None, width: float) -> Axes:
    if ax is not None:
        return ax
    _, made = needed("matplotlib.pyplot").subplots(figsize=(width, 3.6), layout="constrained")
    axes: Axes = made
    return axes


def _spread(summary: DataFrame, score: str) -> list[list[float]]:
    """How far each interval reaches below and above its mean; none where there is no interval."""
    below = (summary[score] - summary[f"{score}_low"]).fillna(0).clip(lower=0)
    above = (summary[f"{score}_high"] - summary[score]).fillna(0).clip(lower=0)
    return [below.tolist(), above.tolist()]


def draw_bars(summary: DataFrame, score: str, labels: Sequence[str], ax: Axes | None = None) -> Axes:
    ax = _axes(ax, min(12.0, max(4.0, 1.3 * len(labels))))
    ax.bar(labels, summary[score].fillna(0), yerr=_spread(summary, score), capsize=4, color="#5b8db8")
    _finish(ax, summary, score)
    return ax


def draw_scatter(summary: DataFrame, score: str, labels: Sequence[str], x: str, ax: Axes | None = None) -> Axes:
    ax = _axes(ax, 7.0)
    shades = ("#5b8db8", "#d1873f", "#5a9a68", "#b35c6f", "#7d6bb0", "#8a8a8a")
    spread = _spread(summary, score)
    for index, label in enumerate(labels):
        at, mean = summary[x].iloc[index], summary[score].iloc[index]
        error = [[side[index]] for side in spread]
        colour = shades[index % len(shades)]
        ax.errorbar([at], [mean], yerr=error, fmt="o", capsize=4, color=colour, label=label.replace("\n", " · "))
    ax.set_xlabel(_UNITS.get(x, x))
    ax.legend(fontsize="small")
    _finish(ax, summary, score)
    return ax


def _finish(ax: Axes, summary: DataFrame, score: str) -> None:
    highest = summary[[score, f"{score}_high"]].max().max()
    if highest <= 1:
        # Scores are shares nearly always: the same height everywhere, so that pictures can be compared.
        ax.set_ylim(0, 1.05)
    ax.set_ylabel(score)
    ax.spines[["top", "right"]].set_visible(False)


def needed(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise AssistantError(f"{name} is not installed.", hint="pip install 'assistant[notebooks]'") from error
