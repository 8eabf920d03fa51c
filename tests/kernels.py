"""Kernels for the notebooks' tests, made cheaply: forks of one process that has imported pandas and matplotlib.

A fork is as clean as a kernel that is started: nothing of a notebook has run in it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

PRELOADED = ["ipykernel.kernelapp", "pandas", "matplotlib.pyplot"]
# What the imports look at. A fork takes no threads along, and OpenBLAS would have started some.
AT_IMPORT = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "OPENBLAS_NUM_THREADS": "1"}


def fork_kernel(command: list[str], *, env: Mapping[str, str], cwd: str, **_: Any) -> Forked:
    """Takes the place of jupyter_client's launch_kernel; AT_IMPORT has to be in the environment."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    # A kernel ends with the process of this number, if that is its parent; here the server of the forks is.
    environment = {name: value for name, value in env.items() if name != "JPY_PARENT_PID"}
    arguments = command[command.index("ipykernel_launcher") :]
    begun, begins = context.Pipe(duplex=False)
    process = context.Process(target=_run_kernel, args=(begins, arguments, environment, str(cwd)), daemon=True)
    process.start()
    # The manager looks up the process group at once, and kills it at the end: it must not be the tests' own.
    begun.recv()
    return Forked(process)


def _run_kernel(begun: Any, arguments: list[str], environment: Mapping[str, str], directory: str) -> None:
    """What `python -m ipykernel_launcher` does with these arguments, in this process."""
    from ipykernel.kernelapp import launch_new_instance

    os.setsid()
    begun.send(None)
    os.environ.clear()
    os.environ.update(environment)
    keep_to_one_core()
    os.chdir(directory)
    sys.path.insert(0, "")
    sys.argv = arguments
    launch_new_instance()


def keep_to_one_core() -> set[int]:
    """There the embedded model takes half of the CPU time for a token; the suite's other worker has the other core.

    Returns the cores that there were.
    """
    if not hasattr(os, "sched_setaffinity"):
        return set()
    cores = sorted(os.sched_getaffinity(0))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {cores[worker % len(cores)]})
    return set(cores)


class Forked:
    """As much of Popen as a kernel's manager asks for."""

    stdin = stdout = stderr = None

    def __init__(self, process: Any) -> None:
        self._process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        code: int | None = self._process.exitcode
        return code

    def wait(self) -> int | None:
        self._process.join()
        return self.poll()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
