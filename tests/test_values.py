"""Amounts, dates and whole values, compared by what they mean."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from assistant.values import as_date, as_number, same_value


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
