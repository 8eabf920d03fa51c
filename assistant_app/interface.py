"""gr.ChatInterface with events of the page's own.

Gradio's own are eight requests for a turn, most of which a browser can answer by itself, and after one exception the
text box stays locked for good. Here a turn is one request (page.py wires it), and what needs no server asks none.
"""

from __future__ import annotations

import gradio as gr


class Interface(gr.ChatInterface):
    """The layout of Gradio's class, and of its events the endpoint for scripts alone."""

    def _setup_events(self) -> None:
        """Gradio's constructor calls this when everything is laid out."""
        # The browser's own list of conversations, encrypted: 24 kB of script for what stays empty here.
        self.saved_conversations.unrender()  # type: ignore[no-untyped-call]
        self.fake_api_btn.click(
            self.fn,
            [self.textbox, *self.additional_inputs],
            [self.api_response],
            api_name=self.api_name,
            concurrency_limit=self.concurrency_limit,
            postprocess=False,
        )
