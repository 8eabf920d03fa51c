"""Pictures of a summary: bars, and a scatter plot. matplotlib is loaded when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .cells import label_of
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


# As many points as there are pairs of these can be told apart.
_SHADES = ("#5b8db8", "#d1873f", "#5a9a68", "#b35c6f", "#7d6bb0", "#8a8a8a")
_MARKERS = "os^Dv"


def labels_of(summary: DataFrame, names: Sequence[str], params: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What tells each row of a summary from the others. `params`, by their label: those that are the same in all
    are left out of it.
    """
    given = list(params.values())
    differing = {name for each in given for name in each if any(each[name] != other.get(name) for other in given)}
    short = {
        label: label_of({name: value for name, value in each.items() if name in differing})
        for label, each in params.items()
    }
    rows = ({name: row[name] for name in names} for _, row in summary.iterrows())
    return [" · ".join(short[row[name]] if name == "params" else str(row[name]) for name in names) for row in rows]


def _axes(ax: Axes | None, width: float, height: float) -> Axes:
    if ax is not None:
        return ax
    _, made = needed("matplotlib.pyplot").subplots(figsize=(width, height), layout="constrained")
    axes: Axes = made
    return axes


def _spread(summary: DataFrame, score: str) -> list[list[float]]:
    """How far each interval reaches below and above its mean; none where there is no interval."""
    below = (summary[score] - summary[f"{score}_low"]).fillna(0).clip(lower=0)
    above = (summary[f"{score}_high"] - summary[score]).fillna(0).clip(lower=0)
    return [below.tolist(), above.tolist()]


def draw_bars(summary: DataFrame, score: str, labels: Sequence[str], ax: Axes | None = None) -> Axes:
    """Bars that lie: however long their labels are, they do not run into each other."""
    ax = _axes(ax, 7.0, 1.0 + 0.4 * len(labels))
    places = range(len(labels))
    ax.barh(places, summary[score].fillna(0), xerr=_spread(summary, score), capsize=4, color=_SHADES[0], height=0.7)
    ax.set_yticks(places, labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    if _is_share(summary, score):
        ax.set_xlim(0, 1.05)
    ax.set_xlabel(score)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def draw_scatter(summary: DataFrame, score: str, labels: Sequence[str], x: str, ax: Axes | None = None) -> Axes:
    # Two columns of long labels would be wider than the picture.
    columns = 2 if max(map(len, labels)) <= 40 else 1
    ax = _axes(ax, 7.0, 3.6 + 0.3 / columns * max(0, len(labels) - 2 * columns))
    spread = _spread(summary, score)
    for index, label in enumerate(labels):
        again, shade = divmod(index, len(_SHADES))
        ax.errorbar(
            [summary[x].iloc[index]],
            [summary[score].iloc[index]],
            yerr=[[side[index]] for side in spread],
            fmt=_MARKERS[again % len(_MARKERS)],
            capsize=4,
            color=_SHADES[shade],
            label=label,
        )
    # Beneath, where it hides no point.
    ax.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=columns, frameon=False)
    if _is_share(summary, score):
        ax.set_ylim(0, 1.05)
    ax.set_xlabel(_UNITS.get(x, x))
    ax.set_ylabel(score)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _is_share(summary: DataFrame, score: str) -> bool:
    """Scores are shares nearly always: their axis is the same everywhere, so that pictures can be compared."""
    return bool(
        summary[[score, f"{score}_low"]].min().min() >= 0 and summary[[score, f"{score}_high"]].max().max() <= 1
    )


def needed(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise AssistantError(f"{name} is not installed.", hint="pip install 'assistant[notebooks]'") from error
