"""Whether two values in answers mean the same: numbers, money and dates, however they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Literal

DateOrder = Literal["dmy", "mdy", "ymd"]

_SPACES = re.compile(r"\s+")


def plain(text: object) -> str:
    """Without what is no difference to a reader: letter case, outer marks, the width of spaces."""
    return _SPACES.sub(" ", str(text)).strip(" \t\n.,;:!¡?¿\"'`*").casefold()


def same_value(one: object, other: object, *, order: DateOrder = "dmy", decimal: str = ".") -> bool:
    """Whether two JSON values mean the same: 0.03 and "$0.03", 02/08/2023 and "2023-08-02", "ACME " and "acme".

    `order` is how dates in figures alone are read; one that begins with the year is always year, month, day. `decimal`
    is the decimal sign where a text alone does not tell: "1.234" is 1234 with decimal=",".
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(
            same_value(one[key], other[key], order=order, decimal=decimal) for key in one
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            same_value(left, right, order=order, decimal=decimal) for left, right in zip(one, other, strict=True)
        )
    if any(value is None or isinstance(value, bool | Mapping | list) for value in (one, other)):
        return type(one) is type(other) and one == other
    days = (as_date(one, order), as_date(other, order))
    if None not in days:
        return days[0] == days[1]
    numbers = (as_number(one, decimal), as_number(other, decimal))
    if None not in numbers:
        return numbers[0] == numbers[1]
    return plain(one) == plain(other)


# Not any three letters: "INV 123" is no amount.
_CURRENCY = r"USD|EUR|GBP|JPY|CHF|CAD|AUD|ARS|BOB|BRL|CLP|COP|MXN|PEN|UYU|US|R(?=\$)|S/|[$€£¥]|\s"
_MONEY = re.compile(
    rf"^\(?(?:{_CURRENCY})*"
    r"(?P<number>[-+]?\d[\d., ']*)"
    rf"(?:{_CURRENCY}|euros?|d[oó]lares|dollars|pesos|reais|soles)*\.?$",
    re.IGNORECASE,
)


def as_number(value: object, decimal: str = ".") -> Decimal | None:
    """A number, with or without a currency around it and thousands marked; None for what is none.

    Where both signs appear the last one is the decimal sign. One alone is it, unless three digits follow, where
    `decimal` decides. Leading zeros don't count.
    """
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = Decimal(str(value))
        return number if number.is_finite() else None
    match = _MONEY.match(str(value).strip()) if isinstance(value, str) else None
    if match is None:
        return None
    digits = match["number"].strip(" ',").rstrip(".").replace(" ", "").replace("'", "")
    point, comma = digits.rfind("."), digits.rfind(",")
    if point >= 0 and comma >= 0:
        sign = "." if point > comma else ","
    else:
        lone = "." if point >= 0 else ","
        grouped = re.fullmatch(rf"[-+]?\d{{1,3}}(?:\{lone}\d{{3}})+", digits)
        sign = ("," if lone == "." else ".") if grouped and (lone != decimal or digits.count(lone) > 1) else lone
    whole, _, rest = digits.partition(sign)
    other = "," if sign == "." else "."
    if other in whole and not re.fullmatch(rf"[-+]?\d{{1,3}}(?:\{other}\d{{3}})+", whole):
        return None
    try:
        return Decimal(whole.replace(other, "") + (f".{rest}" if rest else ""))
    except InvalidOperation:
        return None


_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan enero ene",
            "february feb febrero",
            "march mar marzo",
            "april apr abril abr",
            "may mayo",
            "june jun junio",
            "july jul julio",
            "august aug agosto ago",
            "september sep sept septiembre setiembre",
            "october oct octubre",
            "november nov noviembre",
            "december dec diciembre dic",
        ),
        start=1,
    )
    for name in names.split()
}
_FIGURES = re.compile(r"^(\d{1,4})\s*[-/.]\s*(\d{1,2})\s*[-/.]\s*(\d{1,4})(?:[T ]\d{1,2}:\d{2}.*)?$")
_WEEKDAY = re.compile(
    r"^(?:el\s+)?(?:(?:(?:mon|tues?|wed(?:nes)?|thurs?|fri|satur|sat|sun)(?:day)?|lunes|martes|mi[eé]rcoles|jueves"
    r"|viernes|s[aá]bado|domingo)[.,]?\s+)?",
    re.I,
)
_DAY_FIRST = re.compile(
    r"^(\d{1,2})(?:st|nd|rd|th|º)?[\s-]+(?:(?:de|of)\s+)?([a-z]+)\.?,?[\s-]+(?:del?\s+)?(\d{4})$", re.I
)
_MONTH_FIRST = re.compile(r"^([a-z]+)\.?\s+(\d{1,2})(?:st|nd|rd|th)?\s*,?\s*(\d{4})$", re.I)


def as_date(value: object, order: DateOrder = "dmy") -> date | None:
    """A day, written in figures or with an English or Spanish month; None for what is none.

    Years of two figures are of this century.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date) or not isinstance(value, str):
        return value if isinstance(value, date) else None
    text = _WEEKDAY.sub("", value.strip().rstrip("."))
    if match := _FIGURES.match(text):
        parts = [int(part) for part in match.groups()]
        places = "ymd" if len(match[1]) > 2 else order
        named = dict(zip(places, parts, strict=True))
    elif match := _DAY_FIRST.match(text):
        named = {"d": int(match[1]), "m": _MONTHS.get(match[2].lower(), 0), "y": int(match[3])}
    elif match := _MONTH_FIRST.match(text):
        named = {"d": int(match[2]), "m": _MONTHS.get(match[1].lower(), 0), "y": int(match[3])}
    else:
        return None
    year = named["y"] + 2000 if named["y"] < 100 else named["y"]
    try:
        return date(year, named["m"], named["d"])
    except ValueError:
        return None
