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
    ).set(
        # Gradio's own are too pale to be read: 4.5 to 1 is the least that WCAG takes.
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        block_title_text_color="*neutral_700",
        block_label_text_color="*neutral_700",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_secondary_text_color="*neutral_800",
        button_cancel_background_fill="*neutral_100",
        button_cancel_background_fill_hover="*neutral_200",
        button_cancel_text_color="#b91c1c",
        button_cancel_background_fill_dark="*neutral_700",
        button_cancel_background_fill_hover_dark="*neutral_600",
        button_cancel_text_color_dark="#fca5a5",
    )
