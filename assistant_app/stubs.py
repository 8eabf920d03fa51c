"""Gradio without the type stubs and docstrings that it writes.

At every import it reads the source of each of its components and of ours, and writes a .pyi file beside each
(gradio/component_meta.py, create_or_modify_pyi), and a docstring for each of their events (gradio/events.py, set_doc).
That is four tenths of the time in which the page starts, and nobody reads them here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_WRITER = "gradio.component_meta"


class _Finder:
    """Finds that one module as ever, and takes the writers out once it is loaded."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _WRITER:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            module.create_or_modify_pyi = lambda *_: None
            module.EventListener.set_doc = lambda *_, **__: None

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def leave_out() -> None:
    """To be called before Gradio is imported; afterwards, and a second time, it does nothing."""
    if _WRITER not in sys.modules and _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
