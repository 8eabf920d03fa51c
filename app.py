"""The page: `uv run app.py` (see --help), or `gradio app.py` to have it reloaded while you work on it."""

import threading
from typing import Any


def main() -> None:
    from assistant.cli import run_command, serve

    run_command(serve)


def __getattr__(name: str) -> Any:
    # `demo` is what Gradio's own command looks for. Made when it is asked for: --help must not wait for it.
    if name != "demo":
        raise AttributeError(name)
    from assistant_app import demo

    globals()["demo"] = demo()
    return globals()["demo"]


# `gradio app.py` runs this file again, in a thread of its own, whenever a file has changed.
if __name__ == "__main__" and threading.current_thread() is threading.main_thread():
    main()
