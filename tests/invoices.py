"""Answers about an invoice, as models gave them to the prompts of the seed."""

from __future__ import annotations

SEED_ANSWER = """Here is the JSON extracted from the invoice tags:

{
    "invoice_number": 1401279274,
    "total_amount": 0.03,
    "due_date": "02/08/2023"
}
"""


SEED_EXAMPLE = "{ \n    invoice_number: 1484934918, \n    total_amount: 0.03, \n    due_date: 02/11/2023 \n} "
