"""Experiment: a grid is run once, whatever happens. The full size is marked soak."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from assistant.clients.bedrock import BedrockClient
from assistant.clients.retry import RetryPolicy
from assistant.errors import InvalidRequestError, PromptError
from assistant.experiments import Experiment
from assistant.prompts import FewShotPrompt
from assistant.results import Results
from assistant.scorers import Judge, contains

from .bedrock_server import BedrockServer, Fault, Recorded
from .bedrock_server import Reply as ServerReply
from .grids import FREE, PROMPTS, ROWS, Answering, grid
from .wires import CLAUDE, NOVA


def test_every_cell_of_the_grid_is_one_request_with_the_exact_text() -> None:
    client = Answering()
    params = [{"temperature": 0.0}, {"temperature": 1.0, "max_tokens": 9}]
    experiment = grid(client, models=["a", "b"], params=params, repeats=3, system="Short.")
    results = experiment.run(**FREE)
    assert len(experiment) == len(results) == len(client.sent) == 2 * 2 * 2 * 2 * 3
    assert Counter(text for text, _ in client.sent) == dict.fromkeys(
        [f"{start} of {row['country']}?" for start in ("Capital", "Please, the capital") for row in ROWS], 12
    )
    assert Counter(options["model"] for _, options in client.sent) == {"a": 24, "b": 24}
    assert all(options["system"] == "Short." for _, options in client.sent)
    assert sum(options.get("max_tokens") == 9 for _, options in client.sent) == 24


def test_a_prompt_may_have_a_system_prompt_of_its_own() -> None:
    client = Answering()
    grid(client, system={"polite": "Be polite."}).run(**FREE)
    assert Counter((text.split()[0], options["system"]) for text, options in client.sent) == {
        ("Capital", None): 2,
        ("Please,", "Be polite."): 2,
    }


def test_few_shot_prompts_take_their_place_in_the_grid() -> None:
    client = Answering()
    prompt = FewShotPrompt("Capitals.", [{"input": "France", "output": "Paris"}], case="{country}")  # type: ignore[arg-type]
    Experiment(prompts={f"{n}-shot": prompt.shots(n) for n in (0, 1)}, inputs=ROWS, client=client).run(**FREE)
    assert sorted({text for text, _ in client.sent})[1].startswith("Capitals.\n\n<example>")


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"prompts": {}}, InvalidRequestError, "prompts"),
        ({"inputs": []}, InvalidRequestError, "inputs"),
        ({"repeats": 0}, InvalidRequestError, "repeats"),
        ({"prompts": ["Capital of {country}?"]}, InvalidRequestError, "no mapping"),
        ({"inputs": ["Chile"]}, InvalidRequestError, "no mapping"),
        ({"score": 5}, InvalidRequestError, "no function"),
        ({"score": contains("capital")}, PromptError, "capital"),
        ({"score": {"judge": Judge(reference="capital")}}, PromptError, "capital"),
        ({"params": [{"temprature": 1}]}, InvalidRequestError, "temprature"),
        ({"params": [{}, {}]}, InvalidRequestError, "the same"),
        ({"inputs": [{"land": "Chile"}]}, PromptError, "country"),
        ({"system": {"rude": "x"}}, PromptError, "rude"),
    ],
)
def test_a_grid_that_does_not_fit_is_refused_when_it_is_made(changes: Any, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        grid(Answering(), **changes)


def test_one_of_a_kind_needs_no_list() -> None:
    one = grid(Answering(), models="a", params={"temperature": 0.5}, inputs=ROWS[0])
    assert [(cell.model, cell.params, cell.row) for cell in one.cells()] == [("a", {"temperature": 0.5}, ROWS[0])] * 2


def test_an_edited_prompt_runs_again_and_the_others_do_not(tmp_path: Path) -> None:
    kept = tmp_path / "results.jsonl"
    client = Answering()
    grid(client).run(resume=kept, **FREE)
    client.sent.clear()
    results = grid(client, prompts={**PROMPTS, "polite": "Kindly, the capital of {country}?"}).run(resume=kept, **FREE)
    assert sorted(text for text, _ in client.sent) == [f"Kindly, the capital of {land}?" for land in ("Chile", "Peru")]
    assert len(results) == 4


def test_importing_experiments_loads_neither_pandas_nor_matplotlib_nor_tqdm() -> None:
    heavy = ("pandas", "matplotlib", "tqdm", "numpy", "boto3")
    code = f"import sys, assistant.experiments; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


# --- the bar: against the fake Bedrock ---

PROMPT_NAMES = ("zero", "one", "few")
MODELS = [CLAUDE, NOVA]
TEMPERATURES = [{"temperature": 0.0, "max_tokens": 50}, {"temperature": 0.7, "max_tokens": 50}]


def invoices(client: BedrockClient | None, inputs: int) -> Experiment:
    return Experiment(
        prompts={name: f"{name}: extract invoice {{invoice}}." for name in PROMPT_NAMES},
        models=MODELS,
        params=TEMPERATURES,
        inputs=[{"invoice": f"number-{number:03}", "expected": "invoice"} for number in range(inputs)],
        score=contains(),
        client=client,
    )


class Throttling:
    """One request in ten is refused; each that is answered is counted by what was asked."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.seconds = seconds
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.answered: Counter[tuple[Any, ...]] = Counter()
        self.refused = 0

    def __call__(self, recorded: Recorded) -> ServerReply | Fault:
        with self.lock:
            if self.random.random() < 0.1:
                self.refused += 1
                return Fault("ThrottlingException")
            self.answered[asked(recorded)] += 1
        return ServerReply(f"The invoice of {recorded.asked.last_user_text}", first_delay=self.seconds)


def asked(recorded: Recorded) -> tuple[Any, ...]:
    return recorded.model, recorded.asked.last_user_text, recorded.asked.sampling.get("temperature")


@pytest.fixture
def server() -> Iterator[BedrockServer]:
    with BedrockServer() as running:
        yield running


@pytest.fixture
def environment(server: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def whole_grid(server: BedrockServer, inputs: int, seconds: float, base: float) -> tuple[float, float, float]:
    """Runs the grid in one go; the wall time, the ideal one, and the longest back-off of a cell."""
    server.default = throttling = Throttling(seconds, seed=inputs)
    client = BedrockClient(retry=RetryPolicy(base=base))
    client.warm()
    experiment = invoices(client, inputs)
    began = time.monotonic()
    results = experiment.run(8, progress=False)
    wall = time.monotonic() - began
    assert results.errors == []
    assert len(results) == len(experiment) == len(throttling.answered) == 12 * inputs
    assert set(throttling.answered.values()) == {1}
    assert throttling.refused > 0
    assert results.frame()["score"].tolist() == [1.0] * len(experiment)
    assert sum(outcome.retries for outcome in results.outcomes.values()) == throttling.refused
    longest = max(outcome.waited for outcome in results.outcomes.values())
    return wall, len(experiment) * seconds / 8, longest


def test_a_small_grid_under_throttling_loses_no_cell_and_pays_each_once(
    server: BedrockServer, environment: Mapping[str, str]
) -> None:
    whole_grid(server, 4, 0.02, base=0.05)


RUN = """
    import sys
    from assistant.clients.bedrock import BedrockClient
    from assistant.clients.retry import RetryPolicy
    from tests.test_experiments import invoices

    client = BedrockClient(retry=RetryPolicy(base=float(sys.argv[3])))
    invoices(client, int(sys.argv[2])).run(8, resume=sys.argv[1], progress=False)
"""


def killed_and_resumed(
    server: BedrockServer, environment: Mapping[str, str], kept: Path, inputs: int, seconds: float, seed: int
) -> int:
    """Kills a run at a random moment, resumes it, and checks what was paid; how many cells were finished by then."""
    server.default = throttling = Throttling(seconds, seed)
    base = min(1.0, 5 * seconds)
    command = [sys.executable, "-c", textwrap.dedent(RUN), str(kept), str(inputs), str(base)]
    cells = 12 * inputs
    killed = subprocess.Popen(command, env=dict(environment))
    at = random.Random(seed).uniform(0.05, 0.95)
    try:
        # The moment is drawn over the requests, and falls anywhere within one.
        assert server.wait_until(lambda: throttling.answered.total() >= at * cells, 60)
        time.sleep(random.Random(seed).uniform(0, 2 * seconds))
    finally:
        killed.kill()
        killed.wait()
    before = invoices(BedrockClient(), inputs).results(kept) if kept.exists() else Results([], {}, {})
    paid = Counter(throttling.answered)
    # Nothing of the killed process is left but the file, so the one that resumes may be this one, which is cheaper.
    resumed = invoices(BedrockClient(retry=RetryPolicy(base=base)), inputs).run(8, resume=kept, progress=False)
    assert (resumed.errors, resumed.missing) == ([], 0)
    finished = {(cell.model_id, cell.text, cell.params["temperature"]) for cell in before.cells}
    assert finished <= set(paid)
    assert all(throttling.answered[request] == 1 for request in finished), "a finished cell was repeated"
    assert len(throttling.answered) == cells
    # What was under way at the kill, one a worker at most, is all that was asked for twice.
    assert throttling.answered.total() - cells <= 8
    assert len(invoices(BedrockClient(), inputs).results(kept)) == cells
    return len(finished)


def test_a_killed_run_is_resumed_with_no_finished_cell_repeated(
    server: BedrockServer, environment: Mapping[str, str], tmp_path: Path
) -> None:
    killed_and_resumed(server, environment, tmp_path / "results.jsonl", 4, 0.03, seed=7)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_480_cells_under_throttling_take_about_as_long_as_they_must(
    server: BedrockServer, environment: Mapping[str, str]
) -> None:
    wall, ideal, longest = whole_grid(server, 40, 0.2, base=1.0)
    print(f"{wall:.1f} s; ideal {ideal:.1f} s, longest back-off {longest:.1f} s")
    assert wall <= 1.5 * ideal + longest


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(5))
def test_480_cells_are_killed_at_a_random_moment_and_resumed(
    server: BedrockServer, environment: Mapping[str, str], tmp_path: Path, seed: int
) -> None:
    finished = killed_and_resumed(server, environment, tmp_path / "results.jsonl", 40, 0.2, seed)
    print(f"killed with {finished} of 480 finished")
