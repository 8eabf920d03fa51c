"""What the notebooks share: how much they run, and a way to leave a number where a program finds it.

`ASSISTANT_NOTEBOOK_SIZE=small` runs a few cells of each grid, for a first look and for the tests; the saved outputs are
of the full size.
"""

from __future__ import annotations

import os
from typing import Any, TypeVar

T = TypeVar("T")

SMALL = os.environ.get("ASSISTANT_NOTEBOOK_SIZE", "full") == "small"


def size(full: T, small: T) -> T:
    """One of the two, by ASSISTANT_NOTEBOOK_SIZE."""
    return small if SMALL else full


def plain(value: Any) -> Any:
    """As JSON holds it: numpy's numbers become Python's, NaN becomes None."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and value != value else value


def leave(name: str, value: Any) -> None:
    """Keeps a value in the notebook's outputs, unseen by the reader: what the tests look at."""
    from IPython.display import display

    if hasattr(value, "to_dict"):
        value = value.to_dict(orient="records")
    # Of this type alone, which no front end draws.
    display({"application/vnd.assistant.left+json": {name: plain(value)}}, raw=True)
