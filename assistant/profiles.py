"""What an owner has beside conversations: settings for new ones, presets, and what was used each day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from .errors import InvalidRequestError
from .messages import new_id
from .store import ConversationStore, clean_text


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings with a name: a system prompt and what goes with it."""

    id: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DayUsage:
    """One UTC day ("2026-11-24"). `cost` is in USD, and None where the price of a reply is not known."""

    day: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0
    turns: int = 0


class Profiles:
    """Preferences, presets and usage by owner, in the tables of a ConversationStore. Every call blocks for it."""

    def __init__(self, store: ConversationStore) -> None:
        from . import schema, spending

        self._store = store
        self._tables = schema
        self._upsert = spending.upsert

    def preferences(self, owner: str) -> dict[str, Any]:
        p = self._tables.preferences
        with self._store.transaction(writes=False) as tx:
            settings = tx.execute(p.select().with_only_columns(p.c.settings).where(p.c.owner == owner)).scalar()
        return dict(settings or {})

    def set_preferences(self, owner: str, settings: Mapping[str, Any]) -> None:
        values = {"settings": dict(settings)}
        with self._store.transaction() as tx:
            self._upsert(tx, self._tables.preferences, {"owner": owner, **values}, values)

    def presets(self, owner: str) -> list[Preset]:
        """The oldest first."""
        p = self._tables.presets
        with self._store.transaction(writes=False) as tx:
            rows = tx.execute(p.select().where(p.c.owner == owner).order_by(p.c.created_at, p.c.id)).all()
        return [Preset(row.id, row.name, dict(row.settings)) for row in rows]

    def save_preset(self, owner: str, name: str, settings: Mapping[str, Any]) -> Preset:
        """One of the same name is replaced, and keeps its id. Raises InvalidRequestError for an empty name."""
        name = " ".join(clean_text(name).split())[:200]
        if not name:
            raise InvalidRequestError("A preset needs a name.")
        p, values = self._tables.presets, {"settings": dict(settings)}
        mine = (p.c.owner == owner) & (p.c.name == name)
        with self._store.transaction() as tx:
            known = tx.execute(p.select().with_only_columns(p.c.id).where(mine)).scalar()
            preset = Preset(known or new_id(), name, dict(settings))
            if known:
                tx.execute(p.update().where(p.c.id == known).values(values))
            else:
                made = {"id": preset.id, "owner": owner, "name": name, "created_at": self._store.clock()}
                tx.execute(p.insert().values(**made, **values))
        return preset

    def delete_preset(self, owner: str, preset_id: str) -> None:
        """Harmless where the owner has no such preset."""
        p = self._tables.presets
        with self._store.transaction() as tx:
            tx.execute(p.delete().where((p.c.owner == owner) & (p.c.id == preset_id)))

    def usage_by_day(self, owner: str, days: int = 30) -> list[DayUsage]:
        """The last `days` (1 or more) UTC days, today last; those without a reply are there too."""
        today = datetime.fromtimestamp(self._store.clock(), UTC).date()
        wanted = [(today - timedelta(days=back)).isoformat() for back in range(max(1, days) - 1, -1, -1)]
        u = self._tables.usage_days
        with self._store.transaction(writes=False) as tx:
            rows = tx.execute(u.select().where((u.c.owner == owner) & (u.c.day >= wanted[0]))).all()
        used = {
            row.day: DayUsage(
                row.day, row.input_tokens, row.output_tokens, None if row.unpriced else row.cost, row.turns
            )
            for row in rows
        }
        return [used.get(day, DayUsage(day)) for day in wanted]
