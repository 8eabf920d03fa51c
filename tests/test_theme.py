"""How the page looks, as far as that can be said without looking."""

from __future__ import annotations

import re
from pathlib import Path

import gradio

from assistant_app.theme import CSS, theme

STATIC = Path(gradio.__file__).parent / "templates/frontend"


def test_fonts_are_files_of_this_machine() -> None:
    made = theme()
    assert made._stylesheets == []
    files = re.findall(r"url\('([^']+)'\)", made._get_theme_css())
    assert len(files) >= 4
    assert [file for file in files if not (STATIC / file).is_file()] == []


def test_the_style_sheet_asks_for_nothing_elsewhere() -> None:
    assert not re.search(r"@import|url\(|https?:", CSS)


def luminance(colour: str) -> float:
    """By WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_words_of_buttons_that_delete_can_be_read() -> None:
    made = theme()
    for text, ground in (
        (made.button_cancel_text_color, made.neutral_100),
        (made.button_cancel_text_color_dark, made.neutral_700),
    ):
        lighter, darker = sorted((luminance(text), luminance(ground)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5
