"""What Gradio does not write at its import."""

from __future__ import annotations

import sys
from pathlib import Path

from assistant_app import stubs


def test_a_component_of_ours_gets_no_stub_written_beside_it() -> None:
    import gradio as gr

    beside = Path(__file__).with_suffix(".pyi")
    try:
        type("Mine", (gr.HTML,), {"__module__": __name__, "EVENTS": []})
        assert not beside.exists()
    finally:
        beside.unlink(missing_ok=True)


def test_once_gradio_is_imported_there_is_nothing_left_to_do() -> None:
    import gradio  # noqa: F401

    before = list(sys.meta_path)
    stubs.leave_out()
    assert sys.meta_path == before


# Found by Gradio in the source of this file, when it writes.
class Mine:
    pass
