"""The invoices of the notebooks: 48 invented ones in Spanish and English, the same ones each time.

    from invoices import EXAMPLES, FIELDS, invoices, says
    invoices(8)[0]["invoice"], invoices(8)[0]["total_amount"]

Each row holds the text (`invoice`), what is right (`invoice_number`, `total_amount`, `due_date` as year-month-day), the
`language`, and the `topic` with its name in that language (`label`). Number of items, order, wording, currency, layout
and the way of writing numbers and dates vary; every invoice holds another date and other amounts: wrong answers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import date, timedelta

from assistant.scorers import as_number

FIELDS = ("invoice_number", "total_amount", "due_date")
COUNT = 48
SEED = 20231102

_MONTHS = {
    "en": "January,February,March,April,May,June,July,August,September,October,November,December",
    "es": "enero,febrero,marzo,abril,mayo,junio,julio,agosto,septiembre,octubre,noviembre,diciembre",
}
_SELLERS = {
    "electricity": ("Andes Energía S.A.", "Northwind Power Co.", "Luz del Sur", "Brightgrid Electric Ltd."),
    "books": ("Librería El Faro", "Paper Moon Booksellers", "Casa del Libro Antiguo", "Oak & Ink Bookshop"),
    "repairs": ("Taller Hermanos Rojas", "Quickfix Garage", "Mecánica Central", "Harbour Auto Repairs"),
}
_ITEMS = {
    ("electricity", "es"): ("Consumo eléctrico", "Cargo fijo del medidor", "Transmisión de electricidad"),
    ("electricity", "en"): ("Electricity used", "Meter standing charge", "Electricity transmission"),
    ("books", "es"): ("Novela de tapa dura", "Atlas ilustrado", "Libro de cocina", "Diccionario"),
    ("books", "en"): ("Hardcover novel", "Illustrated atlas", "Cookbook", "Dictionary"),
    ("repairs", "es"): ("Cambio de frenos", "Reparación del motor", "Mano de obra del taller", "Cambio de aceite"),
    ("repairs", "en"): ("Brake replacement", "Engine repair", "Workshop labour", "Oil change"),
}
LABELS = {
    "es": {"electricity": "electricidad", "books": "libros", "repairs": "reparaciones"},
    "en": {"electricity": "electricity", "books": "books", "repairs": "repairs"},
}
_WORDS = {
    "es": {
        "number": ("Factura N.º", "Número de factura:", "FACTURA"),
        "issued": ("Fecha de emisión:", "Emitida el"),
        "due": ("Fecha de vencimiento:", "Vence el", "Pagar antes del"),
        "net": ("Subtotal", "Neto"),
        "tax": ("IVA", "Impuesto"),
        "total": ("TOTAL A PAGAR", "Importe total", "Total"),
        "customer": ("Cliente:", "Facturado a:"),
    },
    "en": {
        "number": ("Invoice Number:", "Invoice no.", "INVOICE"),
        "issued": ("Invoice Date:", "Issued on"),
        "due": ("Due date:", "Payment due by", "TOTAL AMOUNT DUE ON"),
        "net": ("Subtotal", "Net amount"),
        "tax": ("VAT", "Sales tax"),
        "total": ("TOTAL", "Total amount", "Amount due"),
        "customer": ("Customer:", "Bill to:"),
    },
}
_CUSTOMERS = ("Marta Quiroga", "Jonas Weber", "Lucía Paredes", "Priya Nair", "Tomás Echeverría", "Grace Okafor")


def _money(amount: float, language: str, style: int) -> str:
    text = f"{amount:,.2f}"
    if language == "es" and style % 2:
        text = text.replace(",", " ").replace(".", ",").replace(" ", ".")
        return f"{text} €"
    return f"${text}" if style % 3 else f"USD {text}"


def _day(day: date, language: str, style: int) -> str:
    month = _MONTHS[language].split(",")[day.month - 1]
    if style % 3 == 0:
        return f"{day:%d/%m/%Y}" if language == "es" else f"{day:%Y-%m-%d}"
    return f"{day.day} de {month} de {day.year}" if language == "es" else f"{month} {day.day}, {day.year}"


def _number(draw: random.Random) -> str:
    return draw.choice(
        (
            str(draw.randint(10**9, 10**10 - 1)),
            f"{draw.choice('ABF')}-{draw.randint(100, 9999):05}",
            f"{draw.randint(2021, 2024)}/{draw.randint(1, 999):03}",
            f"INV-{draw.randint(1000, 99999)}",
        )
    )


def make_invoice(index: int) -> dict[str, str]:
    """The invoice number `index`, from 0 up; Spanish and English take turns, and so do the topics."""
    draw = random.Random(SEED + index)
    language = ("es", "en")[index % 2]
    topic = tuple(_SELLERS)[index // 2 % 3]
    words = {name: draw.choice(choices) for name, choices in _WORDS[language].items()}
    style = draw.randrange(12)
    issued = date(2021, 1, 1) + timedelta(days=draw.randrange(1400))
    due = issued + timedelta(days=draw.choice((10, 15, 30, 45)))
    names = draw.sample(_ITEMS[topic, language], draw.randint(1, 3))
    items = [(name, round(draw.uniform(3, 900), 2)) for name in names]
    net = round(sum(price for _, price in items), 2)
    tax = round(net * draw.choice((0.07, 0.19, 0.21)), 2)
    number = _number(draw)
    head = [f"{words['number']} {number}", f"{words['issued']} {_day(issued, language, style)}"]
    draw.shuffle(head)
    lines = [draw.choice(_SELLERS[topic]), *head, f"{words['customer']} {draw.choice(_CUSTOMERS)}"]
    lines += [f"{name} {_money(price, language, style)}" for name, price in items]
    lines += [f"{words['net']} {_money(net, language, style)}", f"{words['tax']} {_money(tax, language, style)}"]
    last = [
        f"{words['due']} {_day(due, language, style)}",
        f"{words['total']} {_money(round(net + tax, 2), language, style)}",
    ]
    draw.shuffle(last)
    return {
        "invoice": ("\n" if style % 2 else " ").join([*lines, *last]),
        "invoice_number": number,
        "total_amount": f"{net + tax:.2f}",
        "due_date": f"{due:%Y-%m-%d}",
        "language": language,
        "topic": topic,
        "label": LABELS[language][topic],
    }


def invoices(count: int = COUNT) -> list[dict[str, str]]:
    """The first `count` invoices."""
    return [make_invoice(index) for index in range(count)]


def says(field: str) -> Callable[[str, Mapping[str, str]], bool]:
    """Scores 1 where the value stands in the answer, as a word of its own; an amount however it is written."""

    def score(text: str, row: Mapping[str, str]) -> bool:
        words = [word.strip(".,;:()*\"'") for word in text.replace("$", " ").replace("€", " ").split()]
        if field == "total_amount":
            return any(as_number(word) == as_number(row[field]) for word in words)
        return row[field].lower() in [word.lower() for word in words]

    return score


def answer(row: dict[str, str]) -> str:
    """The right answer, as an example shows it."""
    return (
        f'{{"invoice_number": "{row["invoice_number"]}", "total_amount": {row["total_amount"]}, '
        f'"due_date": "{row["due_date"]}"}}'
    )


# None of those that are asked about.
EXAMPLES = [
    {"input": row["invoice"], "output": answer(row)} for row in (make_invoice(COUNT + index) for index in range(4))
]

if __name__ == "__main__":
    import json

    print(json.dumps(invoices(), ensure_ascii=False, indent=1))
