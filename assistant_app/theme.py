"""How the page looks: calm colours, fonts from this machine, light and dark."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.themes.utils import fonts

CSS = (Path(__file__).parent / "style.css").read_text("utf-8")


def theme() -> gr.themes.Base:
    """Local fonts alone: the page must load where no other host can be reached.

    Bold is 700: the SemiBold files that come with Gradio 6.31 are cut down to a few glyphs.
    """
    return gr.themes.Default(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        radius_size="lg",
        font=(fonts.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"),
        font_mono=(fonts.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"),
    )
