"""nginx as docs/deploy.md sets it up, on ports of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GUIDE = (Path(__file__).parent.parent / "docs" / "deploy.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    """What the guide shows in this language."""
    return re.findall(rf"^```{kind}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def server_of(front: int, ports: list[int]) -> str:
    """The guide's configuration with other ports."""
    (shown,) = (block for block in blocks("nginx") if "upstream" in block)
    for old, new in zip((7861, 7862), ports, strict=True):
        assert f"127.0.0.1:{old}" in shown
        shown = shown.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
    assert "listen 80;" in shown
    return shown.replace("listen 80;", f"listen 127.0.0.1:{front};")


@contextmanager
def nginx(directory: Path, front: int, ports: list[int]) -> Iterator[None]:
    """Runs it in this directory. It may not answer yet. Raises FileNotFoundError where there is none."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise FileNotFoundError("No nginx: apt-get install nginx-light.")
    (directory / "assistant.conf").write_text(server_of(front, ports))
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{name}_temp_path {directory / name};\n" for name in names)
    user = "user root;\n" if os.geteuid() == 0 else ""
    (connections,) = (block for block in blocks("nginx") if "worker_connections" in block)
    (directory / "nginx.conf").write_text(
        f"{user}daemon off;\npid {directory}/pid;\nerror_log {directory}/log warn;\nworker_processes 1;\n"
        f"{connections}"
        f"http {{\naccess_log off;\n{places}include {directory}/assistant.conf;\n}}\n"
    )
    process = subprocess.Popen([program, "-p", str(directory), "-c", str(directory / "nginx.conf")])
    try:
        yield
    finally:
        process.terminate()
        process.wait()
