"""What the browser loads before the page can be used, read from Gradio's own scripts, so that the page can name it.

The page names one script, that imports others, one of them a table of all kinds of components, and so on: four times a
way to the server and back before the last one is even asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gradio as gr

# Of Gradio's build, which is Vite's: a script's list of files, and an import with the numbers of those it takes along.
_NUMBERED = re.compile(r"m\.f=(\[[^\]]*\])")
_IMPORT = r"import\(`\./([^`]+)`\)[^`]*?__vite__mapDeps\(\[([\d,]*)\]\)"


def kinds_of(demo: gr.Blocks) -> set[str]:
    """Of the components that are seen; the others are loaded when they are."""
    return {each.get_block_name() for each in demo.blocks.values() if getattr(each, "visible", True) is not False}


def needed(directory: Path, kinds: Iterable[str]) -> list[str]:
    """The scripts and style sheets that a page with components of these kinds loads before it can be used: the page
    names the first, which imports others, and so on. Raises whatever may come of a build that is not as expected."""
    entry = re.search(r' src="\./assets/([^"]+)"', (directory / "index.html").read_text("utf-8"))
    if entry is None:
        raise LookupError("the page names no script")
    component = rf"\b(?:{'|'.join(map(re.escape, sorted(kinds)))}):\{{[^{{}}]*?\bcomponent:[^{{}}`]*"
    first = _imports(directory, entry[1], "")
    rest = [_imports(directory, name, rf"(?:{component}|(?=import\(`\./Blocks-))") for name in first]
    return list(dict.fromkeys([entry[1], *first, *(name for names in rest for name in names)]))


def _imports(directory: Path, name: str, where: str) -> list[str]:
    """What a script imports later on, where the import stands behind a pattern, with what that takes along."""
    text = (directory / "assets" / name).read_text("utf-8") if name.endswith(".js") else ""
    numbered = _NUMBERED.search(text)
    files = json.loads(numbered[1]) if numbered else []
    found: list[str] = []
    for imported, numbers in re.findall(where + _IMPORT, text) if files else ():
        found += [imported, *(files[int(number)].removeprefix("./") for number in numbers.split(",") if number)]
    return found


def links(names: Iterable[str]) -> bytes:
    """For the page's head."""
    how = {".js": 'rel="modulepreload"', ".css": 'rel="preload" as="style"'}
    found = [f'<link {how[Path(name).suffix]} crossorigin href="./assets/{name}">' for name in names]
    return "".join(found).encode()
