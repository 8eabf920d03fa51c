"""PromptTemplate and FewShotPrompt."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistant import FewShotPrompt, PromptError, PromptTemplate

NASTY = '{input} {{x}} $HOME %s {"a": {"b": 1}} \\n <tag>'


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("Hola {name}", {"name": "Ana"}, "Hola Ana"),
        ("{a}{b}{a}", {"a": 1, "b": 2}, "121"),
        ("no gaps", {}, "no gaps"),
        ("", {}, ""),
        ("{{name}} {name}", {"name": "x"}, "{name} x"),
        ('{ "number": 1, "date": {} } {input}', {"input": "x"}, '{ "number": 1, "date": {} } x'),
        ("{0} {a b} {a.b} {a!r} {a:>3} { a }", {}, "{0} {a b} {a.b} {a!r} {a:>3} { a }"),
        ("{{{name}}}", {}, "{{name}}"),
        ("{año} {_x1}", {"año": "2026", "_x1": "y"}, "2026 y"),
        ("{input}", {"input": NASTY}, NASTY),
        ("{a} {b}", {"a": "{b}", "b": "{a}"}, "{b} {a}"),
    ],
)
def test_only_identifiers_in_single_braces_are_gaps(template: str, values: dict, expected: str) -> None:
    assert PromptTemplate(template).format(**values) == expected


def test_variables_come_in_the_order_of_their_first_appearance() -> None:
    assert PromptTemplate("{b} {a} {b} {{c}}").variables == ("b", "a")


def test_one_error_names_every_missing_and_unknown_name() -> None:
    with pytest.raises(PromptError) as caught:
        PromptTemplate("{a} {b} {c}").format(b=1, d=2, e=3)
    assert "missing: a, c" in str(caught.value)
    assert "unknown: d, e" in str(caught.value)
    assert "a, b, c" in caught.value.hint


def test_partial_fills_some_and_leaves_the_first_as_it_was() -> None:
    whole = PromptTemplate("{greeting}, {name}: {input}")
    part = whole.partial(greeting=NASTY)
    assert part.variables == ("name", "input")
    assert part.format(name="Ana", input="x") == f"{NASTY}, Ana: x"
    assert part.partial(name="Eva").format(input="y", greeting="Hola") == "Hola, Eva: y"
    assert whole.variables == ("greeting", "name", "input")
    with pytest.raises(PromptError, match="unknown: nombre"):
        whole.partial(nombre="x")


def test_a_template_can_be_saved_with_what_was_filled_in() -> None:
    part = PromptTemplate("{a} {b}").partial(a=NASTY)
    assert PromptTemplate.from_dict(part.to_dict()) == part


def test_from_file_reads_utf8_with_or_without_a_mark(tmp_path: Path) -> None:
    file = tmp_path / "p.txt"
    file.write_bytes("\ufeff¿Qué es {input}?".encode())
    assert PromptTemplate.from_file(file).format(input="x") == "¿Qué es x?"
    with pytest.raises(PromptError, match="can't be read"):
        PromptTemplate.from_file(tmp_path / "missing.txt")


@pytest.mark.parametrize(
    ("template", "label"),
    [
        ("Current conversation:\n{history}\n\nHuman:{input}\n\nAssistant:", "Human:"),
        ("{history}\nH: {input}\nA:", "H:"),
        ("{history} {input}", None),
        ("Pregunta del usuario:\n{input} {history}", "Pregunta del usuario:"),
    ],
)
def test_the_label_before_a_gap_is_found(template: str, label: str | None) -> None:
    assert PromptTemplate(template).label_before("input") == label


def test_few_shot_prompts_show_their_examples_in_order_and_unchanged() -> None:
    prompt = FewShotPrompt(
        "Extract {nothing} as JSON.",
        [{"input": "Invoice 1", "output": '{ "n": 1 }'}, {"input": NASTY, "output": "{}"}],
        case=PromptTemplate("<invoice>\n{text}\n</invoice>"),
    )
    assert prompt.variables == ("text",)
    text = prompt.format(text="{input}")
    assert text.startswith(
        'Extract {nothing} as JSON.\n\n<example>\nInvoice 1\n\n{ "n": 1 }\n</example>\n\n<example>\n'
    )
    assert NASTY in text
    assert text.endswith("<invoice>\n{input}\n</invoice>")
    assert prompt.shots(0).format(text="x") == "Extract {nothing} as JSON.\n\n<invoice>\nx\n</invoice>"
    assert "Invoice 1" in prompt.shots(1).format(text="x")
    assert NASTY not in prompt.shots(1).format(text="x")
    with pytest.raises(PromptError, match="2 examples"):
        prompt.shots(3)


def test_a_wrong_example_is_told_where_it_was_written() -> None:
    with pytest.raises(PromptError, match="missing: output"):
        FewShotPrompt("x", [{"input": "a"}])
