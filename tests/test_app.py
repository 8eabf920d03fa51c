"""The launcher: options that are wrong, and what its import costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run_app(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, str(ROOT / "app.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (("--backend", "cloud"), {}, "--backend"),
        (("--port", "x"), {}, "--port"),
        (("--auth", "nobody"), {}, "USER:PASSWORD"),
        ((), {"ASSISTANT_PORT": "x"}, "--port"),
        ((), {"ASSISTANT_AUTH": "nobody"}, "USER:PASSWORD"),
        (("--port", "0", "--database-url", "what"), {}, "database URL"),
    ],
)
def test_a_wrong_option_gets_a_clear_line(arguments: tuple[str, ...], environment: dict[str, str], said: str) -> None:
    done = run_app("--no-browser", *arguments, **environment)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_help_and_the_package_load_no_gradio() -> None:
    code = "import app, assistant_app, sys; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
