"""Of gr.ChatInterface's events the endpoint for scripts alone."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr

from assistant_app.interface import Interface


def answer(message: str, history: list[object], more: str = "") -> Iterator[str]:
    yield message + more


def test_only_the_endpoint_for_scripts_is_left_of_gradio_s_events() -> None:
    with gr.Blocks() as demo:
        more = gr.Textbox("", render=False)
        interface = Interface(answer, additional_inputs=[more], api_name="chat")
    (event,) = demo.fns.values()
    assert event.api_name == "chat"
    assert event.inputs == [interface.textbox, more]
    # The browser's own list of conversations, which brings a library of ciphers along.
    assert interface.saved_conversations._id not in demo.blocks
    assert len(demo_of_gradio().fns) > 5, "what this is for"


def demo_of_gradio() -> gr.Blocks:
    with gr.Blocks() as demo:
        gr.ChatInterface(answer, additional_inputs=[gr.Textbox("", render=False)], api_name="chat")
    return demo
