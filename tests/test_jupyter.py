"""Texts of models as a notebook's Markdown."""

from __future__ import annotations

import pytest

from assistant.jupyter import shown


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("`echo $HOME` costs $5", "`echo $HOME` costs \\$5"),
        ("``a`$b`` and `$c` for $1", "``a`$b`` and `$c` for \\$1"),
        ("$1 or `$2", "\\$1 or `\\$2"),
        ("$1\n```sh\necho $A\n```\n$2", "\\$1\n```sh\necho $A\n```\n\\$2"),
        ("````\n```\n$A\n````\n$2", "````\n```\n$A\n````\n\\$2"),
        ("~~~\n$A\n```\n~~~\n$2", "~~~\n$A\n```\n~~~\n\\$2"),
        ("1. So:\n    ```\n    $A", "1. So:\n    ```\n    $A\n    ```"),
        # Cut off within its code: what stands beneath is no code.
        ("```python\nprint('$')", "```python\nprint('$')\n```"),
    ],
)
def test_in_a_notebook_code_keeps_its_dollars_and_a_block_that_was_cut_off_is_closed(text: str, markdown: str) -> None:
    assert shown(text) == markdown
