"""What owners' replies used, day by day. This module loads SQLAlchemy."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from .limits import utc_day
from .messages import Usage
from .schema import inserting, usage_days


def upsert(tx: sa.Connection, table: sa.Table, row: dict[str, Any], changed: dict[str, Any]) -> None:
    """One statement: `row`, or where its key is there already, what `changed` says of that one."""
    keys = [column.name for column in table.primary_key]
    tx.execute(inserting(tx, table).values(row).on_conflict_do_update(index_elements=keys, set_=changed))


def add_turn_usage(tx: sa.Connection, owner: str, before: dict[str, Any], usage: Usage, now: float) -> None:
    """Adds to its owner's day what a turn has used beyond what was stored of it: it may have been continued."""
    paid = Usage.from_dict(before)
    cost = None if usage.cost is None or paid.cost is None else usage.cost - paid.cost
    new = Usage(usage.total_input_tokens - paid.total_input_tokens, usage.output_tokens - paid.output_tokens, cost=cost)
    add_usage(tx, owner, new, int(not paid.total_tokens), now)


def add_usage(tx: sa.Connection, owner: str, usage: Usage, turns: int, now: float) -> None:
    """Adds a reply to its owner's day."""
    c = usage_days.c
    row = {
        "input_tokens": usage.total_input_tokens,
        "output_tokens": usage.output_tokens,
        "cost": usage.cost or 0.0,
        "unpriced": int(usage.cost is None),
        "turns": turns,
    }
    changed = {name: c[name] + value for name, value in row.items()}
    upsert(tx, usage_days, {"owner": owner, "day": utc_day(now), **row}, changed)
