"""A gr.Blocks whose events cost what they change."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from assistant_app import light
from assistant_app.light import Page
from tests.browser import ScriptedClient, serving


def test_a_page_makes_one_web_app_the_one_that_is_served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = []
    create = light._create_app

    def counted(*args: Any, **kwargs: Any) -> Any:
        made.append(create(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(light, "_create_app", counted)
    with serving(ScriptedClient(), tmp_path) as served:
        assert made == [served.demo.app]


def page_of(*parts: Any) -> tuple[Page, Any]:
    """A page with one event that takes all of these parts and changes them."""
    with light.building(), Page() as made:
        for part in parts:
            part.render()
        parts[0].change(lambda *given: given, list(parts), list(parts))
    return made, next(iter(made.fns.values()))


@pytest.fixture
def gradios_own(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The parts that were left to Gradio, for each event that left some, by the names of their blocks."""
    left: list[list[str]] = []
    preprocess, postprocess = gr.Blocks.preprocess_data, gr.Blocks.postprocess_data

    async def before(self: Any, fn: Any, *given: Any) -> Any:
        left.append([each.get_block_name() for each in fn.inputs])
        return await preprocess(self, fn, *given)

    async def after(self: Any, fn: Any, *given: Any) -> Any:
        left.append([each.get_block_name() for each in fn.outputs])
        return await postprocess(self, fn, *given)

    monkeypatch.setattr(gr.Blocks, "preprocess_data", before)
    monkeypatch.setattr(gr.Blocks, "postprocess_data", after)
    return left


def test_plain_values_are_prepared_where_they_stand_and_all_others_in_gradios_own_way(
    gradios_own: list[list[str]],
) -> None:
    page, event = page_of(gr.Textbox(), gr.JSON(), gr.Number(precision=0), gr.Dropdown(["a", "b"]))
    assert asyncio.run(page.preprocess_data(event, ["x", {"y": [1]}, 2.0, "b"], None)) == ["x", {"y": [1]}, 2, "b"]
    assert gradios_own == [["json"]]
    # What is wrong with a value is for Gradio to say.
    with pytest.raises(gr.Error, match="not in the list of choices"):
        asyncio.run(page.preprocess_data(event, ["x", None, 2.0, "c"], None))
    assert gradios_own[1:] == [["json", "dropdown"]]


def test_what_is_skipped_is_not_made_anew_and_texts_go_out_as_they_are(gradios_own: list[list[str]]) -> None:
    parts = [gr.Textbox(), gr.Markdown(), gr.HTML(), gr.Button(), gr.Number()]
    page, event = page_of(*parts)
    given = ["x", "    indented\n    text", gr.skip(), gr.Button(interactive=False), 7]
    answer = asyncio.run(page.postprocess_data(event, given, None))
    assert answer[:3] == ["x", "indented\ntext", {"__type__": "update"}]
    assert answer[3] == {"interactive": False, "__type__": "update"}
    assert answer[4] == 7
    assert gradios_own == [["number"]]


def test_a_visitor_s_session_describes_no_part_of_the_page() -> None:
    page, _ = page_of(gr.Textbox())
    sessions = light._Sessions()
    sessions.set_blocks(page)
    session = sessions["visitor"]
    assert sessions["visitor"] is session
    assert (session.config_values, session.blocks_config.config_for_block(1, [])) == ({}, {})
