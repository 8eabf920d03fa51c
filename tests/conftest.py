"""What all tests share: an environment without AWS, and the fake Bedrock."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import botocore.session
import pytest

# Before a test module imports Gradio by itself: it writes no stubs then.
import assistant_app  # noqa: F401
from assistant import prices
from assistant.tokens import ESTIMATOR

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser import OpenPage, ScriptedClient, Served, Visitors
    from tests.databases import Database
    from tests.places import Place
    from tests.postgres import Postgres


# Where Python is kept from writing bytecode, each of the many processes that are started here would compile Gradio,
# pandas and the clients anew, which takes longer than the tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# As the app does (assistant_app/launch.py): the ordinary threshold looks for garbage hundreds of times in an import.
gc.set_threshold(10_000, 20, 10)

# The services' descriptions are read and parsed once for all the clients that are made here, not once for each.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

# The files that take longest, first of all: one that begins last keeps one core waiting for the other.
_SLOW = (
    "test_notebooks",
    "test_browser",
    "test_browser_panels",
    "test_replicas",
    "test_browser_sidebar",
    "test_local",
    "test_llama",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {f"{name}.py": number for number, name in enumerate(_SLOW)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(autouse=True, scope="module")
def small_heap() -> None:
    """What earlier files have loaded is not searched for garbage again: with Gradio and pandas that takes a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees credentials, profiles, proxies or settings of its machine, nor what earlier tests have taught us."""
    for name in list(os.environ):
        ours = name.startswith(("AWS_", "ASSISTANT_", "ANTHROPIC_")) or name.upper().endswith("_PROXY")
        if ours and name not in ("ASSISTANT_REQUIRE_BROWSER", "ASSISTANT_NOTEBOOK_SIZE"):
            monkeypatch.delenv(name)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    empty = tmp_path_factory.getbasetemp() / "no-aws"
    empty.mkdir(exist_ok=True)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(empty / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(empty / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # Loaded in the background by whoever warms a client, and then for the whole process.
    monkeypatch.setattr(prices, "_calculate", None)
    # What scripted models reported, with made-up numbers, to earlier tests.
    ESTIMATOR.forget()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for this worker, started when the first test asks for it."""
    from tests.postgres import running_postgres

    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of the test's own: the test runs once for each kind."""
    from tests.databases import database_of

    with database_of(request.param, tmp_path / "data", lambda: request.getfixturevalue("postgres")) as made:
        yield made


@pytest.fixture
def place(database: Database) -> Iterator[Place]:
    """Chats on that database; all that were made are closed."""
    from tests.places import Place, close

    made = Place(database)
    yield made
    close(made)


# -- the page in a browser: one server and one browser for a file -------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from tests.browser import launched

    with launched() as made:
        yield made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from tests.browser import ScriptedClient, serving

    with serving(ScriptedClient(), tmp_path_factory.mktemp("chats"), grace=None) as page:
        yield page


@pytest.fixture
def client(served: Served) -> Iterator[ScriptedClient]:
    """Each test has the queue of requests for itself."""
    client: ScriptedClient = served.client
    while not client.asked.empty():
        client.asked.get_nowait()
    yield client
    client.echo = False


@pytest.fixture(scope="module")
def visitors(browser: Browser) -> Iterator[Visitors]:
    """Contexts that are used again, without cookies, for the scripts in their caches."""
    contexts: Visitors = {}
    yield contexts
    for context in contexts.values():
        context.close()


@pytest.fixture
def open_page(browser: Browser, served: Served, visitors: Visitors) -> Iterator[OpenPage]:
    """Opens the page as a new visitor, or with `beside` in a further tab of the same one; ready to be typed into."""
    from tests.browser import opening

    with opening(browser, served, visitors) as open_one:
        yield open_one
