"""Several processes on one PostgreSQL behind nginx, set up as docs/deploy.md says, for load.py."""

from __future__ import annotations

import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.load import Load, address_of, server
from benchmarks.store import postgres


@contextmanager
def cluster(load: Load) -> Iterator[tuple[list[subprocess.Popen[str]], dict[str, Any]]]:
    """The processes, and what load.py's `servers` gives. Raises FileNotFoundError where there is no nginx."""
    from assistant_app.launch import check_address
    from tests.nginx import nginx

    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        load = replace(load, database_url=load.database_url or stack.enter_context(postgres()))
        first, served = stack.enter_context(server(load))
        load = replace(load, visitors=served["visitors"])
        others = [stack.enter_context(server(load)) for _ in range(load.processes - 1)]
        urls = [served["url"], *(each["url"] for _, each in others)]
        front = check_address("127.0.0.1", 0)
        stack.enter_context(nginx(directory, front, [address_of(url)[1] for url in urls]))
        url = f"http://127.0.0.1:{front}"
        _wait(url)
        yield [first, *(process for process, _ in others)], {**served, "url": url, "each": urls}


def _wait(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/config").close()
            return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
