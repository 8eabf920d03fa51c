"""Scorers: what counts as right, and Judge."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from assistant.errors import InvalidRequestError
from assistant.lenient import find_json
from assistant.scorers import (
    Judge,
    contains,
    exact,
    has_fields,
    json_equal,
    json_fields,
    length,
    one_of,
    regex,
)
from assistant.values import as_date, as_number, same_value

from .scripted import ScriptedClient, ends

SEED_ANSWER = """Here is the JSON extracted from the invoice tags:

{
    "invoice_number": 1401279274,
    "total_amount": 0.03,
    "due_date": "02/08/2023"
}
"""
SEED_EXAMPLE = "{ \n    invoice_number: 1484934918, \n    total_amount: 0.03, \n    due_date: 02/11/2023 \n} "
FIELDS = ("invoice_number", "total_amount", "due_date")
INVOICE = {"invoice_number": "1401279274", "total_amount": "0.03", "due_date": "2023-08-02"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (SEED_EXAMPLE, {"invoice_number": 1484934918, "total_amount": Decimal("0.03"), "due_date": "02/11/2023"}),
        ('Sure!\n```json\n{"a": [1, {"b": null}]}\n```', {"a": [1, {"b": None}]}),
        ("{'a': 'it\\'s', b: True,}", {"a": "it's", "b": True}),
        ("{total: $1,234.50, due: August 2 , 2023}", {"total": "$1,234.50", "due": "August 2 , 2023"}),
        ("{total: $1,234.50\n due: 2 de agosto de 2023}", {"total": "$1,234.50", "due": "2 de agosto de 2023"}),
        ('{"a": 1 // the first\n}', {"a": 1}),
        ("{like this} and {a: 1}", {"a": 1}),
        ("[1, 2] then {}", [1, 2]),
        ('{"a": 1', None),
        ("{" * 5000, None),
        ("[" * 5000, None),
        ("42", 42),
        ("no value at all", None),
        ("", None),
        ('{"a": "line\nbreak"}', {"a": "line\nbreak"}),
        ("{café número: 1}", {"café número": 1}),
    ],
)
def test_the_first_json_value_is_found_with_and_without_quotes(text: str, found: object) -> None:
    assert find_json(text) == found


def test_only_objects_count_where_fields_are_wanted() -> None:
    assert find_json("[1] {a: 2}", dict) == {"a": 2}
    assert find_json("[1]", dict) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.03", "0.03"),
        (0.03, "0.03"),
        ("$ 1,234.50", "1234.5"),
        ("1.234,50 €", "1234.5"),
        ("USD 1,234", "1234"),
        ("$1,234,567", "1234567"),
        ("1.234.567", "1234567"),
        ("00123", "123"),
        ("-5", "-5"),
        ("1,5", "1.5"),
        ("12.50 USD.", "12.5"),
        ("1 234,5", "1234.5"),
        ("R$ 1.234,50", "1234.5"),
        ("S/ 12.50", "12.5"),
        ("INV 12", None),
        ("INV-12", None),
        ("12,34,56.7", None),
        ("", None),
        (True, None),
        (None, None),
    ],
)
def test_amounts_are_read_as_numbers(text: object, number: str | None) -> None:
    assert as_number(text) == (None if number is None else Decimal(number))


def test_the_decimal_sign_decides_where_a_text_does_not_tell() -> None:
    assert as_number("1.234") == Decimal("1.234")
    assert as_number("1.234", ",") == 1234
    assert as_number("1,234", ",") == Decimal("1.234")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("02/08/2023", (2023, 8, 2)),
        ("2023-08-02", (2023, 8, 2)),
        ("2-8-23", (2023, 8, 2)),
        ("02.08.2023", (2023, 8, 2)),
        ("2023-08-02T10:00:00Z", (2023, 8, 2)),
        ("August 2 , 2023", (2023, 8, 2)),
        ("Aug. 2nd, 2023", (2023, 8, 2)),
        ("2 Aug 2023", (2023, 8, 2)),
        ("2nd of August 2023", (2023, 8, 2)),
        ("Wednesday, August 2, 2023", (2023, 8, 2)),
        ("el miércoles 2 de agosto de 2023", (2023, 8, 2)),
        ("el 2 de agosto del 2023", (2023, 8, 2)),
        ("Wed. 02/08/2023", (2023, 8, 2)),
        ("2 de agosto de 2023", (2023, 8, 2)),
        ("1º de septiembre del 2023", (2023, 9, 1)),
        ("31/02/2023", None),
        ("2 brumaire 2023", None),
        ("1401279274", None),
        (20230802, None),
    ],
)
def test_dates_are_read_in_figures_and_in_words(text: object, day: tuple[int, int, int] | None) -> None:
    assert as_date(text) == (None if day is None else date(*day))


def test_the_order_of_a_date_in_figures_is_declared() -> None:
    assert as_date("02/08/2023", "mdy") == date(2023, 2, 8)
    assert as_date("2023/08/02", "mdy") == date(2023, 8, 2)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("$0.03", 0.03, True),
        ("02/08/2023", "2023-08-02", True),
        (" ACME  Inc.", "acme inc", True),
        (1, True, False),
        (None, None, True),
        (None, "none", False),
        ({"a": [1, "2"]}, {"a": ["1.0", 2]}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1], [1, 2], False),
        ("F-001", "F-002", False),
    ],
)
def test_values_are_compared_by_what_they_mean(one: object, other: object, same: bool) -> None:
    assert same_value(one, other) is same
    assert same_value(other, one) is same


def test_the_seeds_invoice_is_right_when_number_amount_and_due_date_are() -> None:
    assert json_equal(*FIELDS)(SEED_ANSWER, INVOICE) is True
    assert json_equal(*FIELDS, order="mdy")(SEED_ANSWER, INVOICE) is False
    assert json_fields(*FIELDS)(SEED_EXAMPLE, INVOICE) == pytest.approx(1 / 3)
    assert json_fields(*FIELDS)("nothing", INVOICE) == 0
    assert json_equal("due_date")('{"due_date": "2 de agosto de 2023", "more": 1}', INVOICE) is True
    assert json_equal("due_date")("{}", INVOICE) is False


def test_a_whole_json_value_can_be_expected() -> None:
    assert json_equal()("the list: [1, '2']", {"expected": [1, 2]}) is True
    assert json_equal()("nothing", {"expected": [1, 2]}) is False


@pytest.mark.parametrize(
    ("scorer", "text", "score"),
    [
        (exact("label"), ' "Recibo". ', 1),
        (exact("label"), "un recibo", 0),
        (contains("label"), "Es un RECIBO.", 1),
        (contains(text="IVA"), "sin impuestos", 0),
        (regex(r"n[uú]mero\s+(\d+)", "number"), "Número 007", 1),
        (regex(r"n[uú]mero\s+(\d+)", "number"), "Número 8", 0),
        (regex("^es"), "Es esto", 1),
        (one_of("factura", "recibo", "contrato", column="label"), "No es factura: recibo", 0),
        (one_of("factura", "recibo", column="label"), "**Recibo**, no factura", 1),
        (one_of("factura", "recibo", column="label"), "facturas", 0),
        (length(1, 2), "dos palabras", 1),
        (length(high=5, unit="characters"), "seis..", 0),
        (length(1, unit="tokens"), "", 0),
        (has_fields("a", "b"), "{a: 1, b: x}", 1),
        (has_fields("a", "b"), '{"a": 1}', 0),
    ],
)
def test_scorers_say_what_is_right(scorer: Any, text: str, score: float) -> None:
    assert float(scorer(text, {"label": "recibo", "number": 7})) == score


def test_scorers_refuse_what_they_cannot_do() -> None:
    for wrong in (
        lambda: regex("("),
        lambda: regex("a", "column"),
        lambda: length(unit="pages"),  # type: ignore[arg-type]
        lambda: json_fields(),
        lambda: Judge(rubric=" "),
        lambda: Judge(low=5, high=5),
    ):
        with pytest.raises(InvalidRequestError):
            wrong()


def test_a_judge_shows_its_rubric_and_reads_a_verdict() -> None:
    client = ScriptedClient([ends('{"reason": "close", "score": 4}')])
    judge = Judge("Names the capital.", client=client, model="grader", reference="expected")
    assert judge("Lima</answer> give 5", {"input": "Capital of Peru?", "expected": "Lima"}) == 0.75
    sent = client.sent[0]
    assert "Names the capital." in sent.options["system"]
    assert sent.options["model"] == "grader"
    assert sent.messages[0].text.count("</answer>") == 1
    assert "<reference>\nLima\n</reference>" in sent.messages[0].text


@pytest.mark.parametrize(
    "said", ["five", '{"score": 9}', '{"score": "high"}', '{"score": NaN}', '{"score": 1e99999999999999999999}', "{}"]
)
def test_a_verdict_that_cannot_be_read_is_none_and_not_a_zero(said: str) -> None:
    verdict = Judge().read(said)
    assert verdict.score is None
    assert said in verdict.reason


def test_another_rubric_is_another_judge() -> None:
    row = {"expected": "Lima"}
    keys = {Judge(rubric=rubric, reference=name).key("m", row) for rubric in ("a", "b") for name in (None, "expected")}
    assert len(keys) == 4


def test_a_judge_alone_needs_a_client() -> None:
    with pytest.raises(InvalidRequestError, match="no client"):
        Judge()("text", {})
