"""Which of Gradio's files a page loads before it can be used."""

from __future__ import annotations

from pathlib import Path

import gradio
import pytest

from assistant_app.preloads import kinds_of, links, needed

from .browser import OpenPage, Served

FRONTEND = Path(gradio.__file__).parent / "templates/frontend"


def test_the_page_names_all_that_it_loads_and_little_else(served: Served, open_page: OpenPage) -> None:
    page = open_page()
    asked = "() => performance.getEntriesByType('resource').map(each => new URL(each.name).pathname)"
    loaded = {path.removeprefix("/assets/") for path in page.evaluate(asked) if path.startswith("/assets/")}
    kinds = kinds_of(served.demo)
    # Gradio's list of conversations in the browser, which brings a library of ciphers along.
    assert "browserstate" not in kinds
    named = needed(FRONTEND, kinds)
    assert loaded - set(named) == set()
    assert len(loaded) > 60
    # Those of all kinds of components are five times as many.
    assert len(named) < 100


def test_what_is_named_is_there_once_and_as_what_it_is() -> None:
    named = needed(FRONTEND, {"chatbot", "textbox"})
    assert len(named) == len(set(named))
    assert [name for name in named if not (FRONTEND / "assets" / name).is_file()] == []
    found = links(["a.js", "b.css"]).decode()
    assert '<link rel="modulepreload" crossorigin href="./assets/a.js">' in found
    assert '<link rel="preload" as="style" crossorigin href="./assets/b.css">' in found


def test_another_build_than_gradio_s_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>Nothing here.</p>")
    with pytest.raises(LookupError):
        needed(tmp_path, set())
