"""The command line, as typed: real processes against the fake Bedrock and the embedded model."""

from __future__ import annotations

import errno
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from assistant.cli import cli, run_command
from tests.bedrock_server import BedrockServer, Fault, Reply

ROOT = Path(__file__).parent.parent


@pytest.fixture
def server() -> Iterator[BedrockServer]:
    with BedrockServer() as running:
        yield running


@dataclass
class Result:
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command to its end in this process, which has loaded everything already."""

    def run(*arguments: str, server: BedrockServer | None = None, text: str | bytes = "", **variables: str) -> Result:
        for name, value in {**(server.env if server else {}), **variables}.items():
            monkeypatch.setenv(name, value)
        data = text.encode() if isinstance(text, str) else text
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        with pytest.raises(SystemExit) as left:
            run_command(cli, arguments)
        shown = capsys.readouterr()
        return Result(int(left.value.code or 0), shown.out, shown.err)

    return run


def process(*arguments: str, server: BedrockServer | None = None) -> Result:
    """The same as a process of its own, as people start it."""
    result = subprocess.run(
        [sys.executable, "-m", "assistant", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(server.env if server else {})},
        timeout=100,
    )
    return Result(result.returncode, result.stdout, result.stderr)


def test_ask_prints_the_answer_and_nothing_else(server: BedrockServer) -> None:
    server.script(Reply(text="Hola, ¿qué tal?"))
    result = process("ask", "hola", "mundo", server=server)
    assert (result.returncode, result.stdout, result.stderr) == (0, "Hola, ¿qué tal?\n", "")
    assert server.requests[-1].body["messages"][-1]["content"][-1]["text"] == "hola mundo"


def test_ask_adds_what_comes_on_standard_input(server: BedrockServer, run: Run) -> None:
    run("ask", "resúmelo en 5 ideas", server=server, text="Uno.\nDos.\n")
    assert server.requests[-1].body["messages"][-1]["content"][-1]["text"] == "resúmelo en 5 ideas\n\nUno.\nDos."


def test_a_note_from_windows_keeps_its_accents(server: BedrockServer, run: Run) -> None:
    run("ask", server=server, text="El año pasado llovió".encode("cp1252"))
    assert server.requests[-1].body["messages"][-1]["content"][-1]["text"] == "El año pasado llovió"


def test_an_answer_that_was_cut_off_says_so(server: BedrockServer, run: Run) -> None:
    server.script(Reply(text="Uno, dos", stop_reason="max_tokens"))
    result = run("ask", "cuenta", server=server)
    assert (result.returncode, result.stdout) == (0, "Uno, dos\n")
    assert "--max-tokens" in result.stderr


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("output", "status", "said"), [(None, 0, ""), (FullDisk(), 1, "No space left")])
def test_an_output_that_takes_nothing_is_no_traceback(
    output: io.StringIO | None,
    status: int,
    said: str,
    server: BedrockServer,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`>&-` closes it: Python has no stdout then."""
    monkeypatch.setattr(sys, "stdout", output)
    result = run("ask", "hi", server=server)
    assert result.returncode == status
    assert said in result.stderr


def test_no_command_at_all_shows_what_there_is(run: Run) -> None:
    result = run()
    assert (result.returncode, result.stderr[:6]) == (2, "Usage:")


def test_options_arrive_at_the_model(server: BedrockServer, run: Run) -> None:
    options = ("-m", "nova-lite", "-s", "Be brief.", "-t", "0.3", "--max-tokens", "77", "--usage")
    result = run("ask", *options, "hi", server=server)
    request = server.requests[-1]
    assert request.model == "amazon.nova-lite-v1:0"
    assert request.body["inferenceConfig"] == {"maxTokens": 77, "temperature": pytest.approx(0.3)}
    assert request.body["system"] == [{"text": "Be brief."}]
    assert "tokens, cost 0.0000" in result.stderr


def test_an_environment_variable_names_the_model(server: BedrockServer, run: Run) -> None:
    run("ask", "hi", server=server, ASSISTANT_MODEL="claude-opus-4-7")
    assert server.requests[-1].model == "us.anthropic.claude-opus-4-7"


def test_errors_say_what_to_do_on_standard_error(server: BedrockServer, run: Run) -> None:
    server.script(Fault("AccessDeniedException"))
    result = run("ask", "hi", server=server)
    assert (result.returncode, result.stdout.strip()) == (1, "")
    assert result.stderr.startswith("Error: AWS refused")
    assert "bedrock:InvokeModel" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ask"], "Ask something"),
        (["ask", "--temperature", "hot", "hi"], "temperature"),
        (["ask", "--bakend", "local", "hi"], "--bakend"),
        (["nonsense"], "nonsense"),
        (["serve", "--port", "99999999"], "--port"),
    ],
)
def test_wrong_options_get_one_clear_line(arguments: list[str], words: str, run: Run) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_wrong_variable_is_named(run: Run) -> None:
    result = run("serve", ASSISTANT_PORT="abc")
    assert result.returncode == 2
    assert "ASSISTANT_PORT" in result.stderr


def test_bedrock_by_name_without_credentials_says_so(run: Run) -> None:
    result = run("ask", "--backend", "bedrock", "hi")
    assert result.returncode == 1
    assert "No AWS credentials were found" in result.stderr


def test_retired_models_are_refused_by_name(server: BedrockServer, run: Run) -> None:
    result = run("ask", "-m", "anthropic.claude-instant-v1", "hi", server=server)
    assert result.returncode == 1
    assert "claude-haiku-5-5" in result.stderr
    assert server.requests == []


def test_models_prints_a_table_and_json(server: BedrockServer, run: Run) -> None:
    table = run("models", server=server)
    assert "us.anthropic.claude-haiku-4-5-20251001-v1:0" in table.stdout
    assert "LEGACY" in table.stdout
    found = json.loads(run("models", "--json", server=server).stdout)
    assert {"amazon.nova-lite-v1:0", "us.anthropic.claude-opus-4-7"} <= {info["id"] for info in found}


def test_models_without_the_permission_says_so(server: BedrockServer, run: Run) -> None:
    server.deny = {"ListFoundationModels"}
    result = run("models", server=server)
    assert "can't be listed" in result.stderr
    assert "us.anthropic.claude-haiku-5-5" in result.stdout


def test_chat_remembers_undoes_and_leaves(server: BedrockServer, run: Run) -> None:
    server.script(Reply(text="Hola Ana."), Reply(text="Ana."), Reply(text="¿Quién?"))
    lines = "soy Ana\n¿quién soy?\n/undo\n/retry\n/what\n/continue\n/exit\n"
    result = run("chat", server=server, text=lines)
    assert result.returncode == 0
    assert "Hola Ana." in result.stdout
    assert "forgotten: ¿quién soy?" in result.stderr
    assert "Commands:" in result.stderr
    assert "nothing to continue" in result.stderr
    second = server.requests[1].body["messages"]
    assert [message["role"] for message in second] == ["user", "assistant", "user"]
    assert [message["content"][-1]["text"] for message in server.requests[2].body["messages"]] == ["soy Ana"]


def test_an_error_does_not_end_a_chat(server: BedrockServer, run: Run) -> None:
    server.script(Fault("AccessDeniedException"), Reply(text="aquí"))
    result = run("chat", server=server, text="uno\ndos\n")
    assert result.returncode == 0
    assert "AWS refused" in result.stderr
    assert "aquí" in result.stdout


def test_ctrl_c_keeps_what_was_printed_and_tells_the_shell(server: BedrockServer) -> None:
    server.script(Fault("hang", after=2))
    process = subprocess.Popen(
        [sys.executable, "-m", "assistant", "ask", "hi"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **server.env},
        # A shell starts what it runs in the background deaf to Ctrl-C, and these tests with it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    shown = process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert shown + rest.strip()
    assert "Traceback" not in errors


def test_without_aws_the_embedded_model_answers() -> None:
    result = process("ask", "--max-tokens", "8", "Say hello.")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    # Nothing of llama.cpp's log.
    assert result.stderr in ("", "(the answer reached its longest length: --max-tokens allows more)\n")


def test_serve_without_the_page_says_what_to_install(run: Run, mocker: MockerFixture) -> None:
    find = importlib.util.find_spec
    mocker.patch("importlib.util.find_spec", lambda name: None if name == "gradio" else find(name))
    result = run("serve")
    assert result.returncode == 1
    assert '(gradio): pip install "assistant[app]"' in result.stderr


def test_the_version_is_the_packages(run: Run) -> None:
    from assistant import __version__

    assert __version__ in run("--version").stdout
