"""Users with cheap hashes, and a page that answers at once behind a login."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pwdlib.hashers.argon2 import Argon2Hasher

from .browser import ScriptedClient, Served, serving

ROOT = Path(__file__).parent.parent
SECRET = "sixteen letters at least"
# The real thing, made cheap: the numbers stand in the hash.
CHEAP = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)


def users_file(directory: Path, text: str = "") -> Path:
    path = directory / "users"
    path.write_text(text or f"# who\n\nana:{CHEAP.hash('ana: her password')}\nbea:{CHEAP.hash('secreto ñ')}\n", "utf-8")
    return path


@contextlib.contextmanager
def chatting(directory: Path, **options: Any) -> Iterator[Served]:
    client = ScriptedClient()
    client.echo = True
    with serving(client, directory, **options) as served:
        yield served
