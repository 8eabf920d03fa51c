"""Texts of models as Jupyter's Markdown shows them, and the line of accounts beneath."""

from __future__ import annotations

import re

from .messages import Usage

_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<marks>`{3,}|~{3,})(?P<rest>.*)")
_CODE = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)")


def shown(text: str) -> str:
    """The text with nothing that Jupyter would take for mathematics, and a code block closed that was cut off.

    Code keeps its dollar signs: there an escape would be read.
    """
    lines, fence, indent = [], "", ""
    for line in text.split("\n"):
        match = _FENCE.match(line)
        if fence:
            if match and match["marks"].startswith(fence) and not match["rest"].strip():
                fence = ""
        elif match and not ("`" in match["marks"] and "`" in match["rest"]):
            fence, indent = match["marks"], match["indent"]
        else:
            line = _escaped(line)
        lines.append(line)
    return "\n".join([*lines, indent + fence] if fence else lines)


def _escaped(line: str) -> str:
    pieces, at = [], 0
    for code in _CODE.finditer(line):
        pieces += [line[at : code.start()].replace("$", "\\$"), code[0]]
        at = code.end()
    return "".join([*pieces, line[at:].replace("$", "\\$")])


def accounts(usage: Usage, model: str | None = None) -> str:
    """Tokens in and out, USD where the price is known, and the model."""
    cost = "" if usage.cost is None else f" · {usage.cost:.6f} USD"
    by = f" · {model}" if model else ""
    return f"*{usage.total_input_tokens} + {usage.output_tokens} tokens{cost}{by}*"
