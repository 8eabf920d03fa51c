"""The JSON in an answer, with and without quotes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from assistant.lenient import find_json

from .invoices import SEED_EXAMPLE


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
