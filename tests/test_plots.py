"""Results as figures: what is drawn, and that it can be read."""

from __future__ import annotations

import itertools

import pytest

from assistant.errors import InvalidRequestError
from assistant.results import Results
from assistant.scorers import contains

from .grids import FREE, PROMPTS, Answering, grid, made_results


def test_results_are_drawn_with_their_intervals() -> None:
    import matplotlib as mpl

    mpl.use("agg")
    results = made_results()
    bars = results.plot()
    assert [label.get_text() for label in bars.get_yticklabels()] == ["good", "bad"]
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([7 / 8, 1 / 7])
    points = results.plot(kind="scatter", x="cost")
    assert "USD" in points.get_xlabel()
    # A run that was stopped before its first answer.
    with pytest.raises(InvalidRequestError, match="No cell is finished"):
        Results([], {}, {"score": contains()}).plot()
    with pytest.raises(InvalidRequestError, match="no scorer"):
        Results([], {}, {}).plot()


def test_labels_of_a_large_grid_do_not_run_into_each_other_and_its_points_can_be_told_apart() -> None:
    import matplotlib as mpl

    mpl.use("agg")
    params = [{"temperature": temperature, "max_tokens": 50} for temperature in (0.0, 0.7)]
    models = ["anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-lite-v1:0"]
    results = grid(Answering(), models=models, params=params, prompts={**PROMPTS, "third": "{country}"}).run(**FREE)
    bars = results.plot()
    bars.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in bars.get_yticklabels()]
    assert len(boxes) == 12
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert min(box.x0 for box in boxes) >= 0
    # What is the same everywhere is not said.
    assert bars.get_yticklabels()[0].get_text() == f"plain · {models[0]} · temperature=0.0"
    scatter = results.plot(kind="scatter")
    points = scatter.lines
    assert len({(line.get_marker(), line.get_color()) for line in points if line.get_marker() in "os"}) == 12
    # The room is shared out when it is drawn, and is right at the second time.
    scatter.figure.canvas.draw()
    scatter.figure.canvas.draw()
    legend = scatter.get_legend().get_window_extent()
    assert 0 <= legend.x0 < legend.x1 <= scatter.figure.bbox.width
    assert legend.y0 >= 0
