"""Conversations for the measurements: one is really held, the others are copies of its rows under other ids."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from typing import Any

from assistant.buffers import MemoryTurn
from assistant.catalog import ModelInfo
from assistant.chats import Chats
from assistant.clients.base import as_messages
from assistant.marks import digests_of
from assistant.messages import Completed, TokenCount, Usage
from assistant.reply import CancelToken, Reply, SourceItem
from assistant.searching import add_words, words_of
from assistant.store import ConversationStore

_WORDS = ("viaje", "casa", "semana", "hotel", "tren", "precio", "noche", "playa", "trip", "house", "week", "night")


def prose(characters: int, seed: int = 0) -> str:
    """Words, no language: about so many characters of them."""
    pick = random.Random(seed)
    return " ".join(pick.choices(_WORDS, k=max(1, characters // 6)))[:characters].strip()


class Instant:
    """A ChatClient that has its answer ready, `characters` long; summaries are short, as a model is asked to write."""

    backend = "benchmark"
    default_model = "benchmark-1"
    description = "Benchmark"
    reason = ""

    def __init__(self, characters: int = 400) -> None:
        self.characters = characters

    def stream(self, messages: Any, **options: Any) -> Reply:
        said = as_messages(messages)
        summary = len(said) == 1 and "summar" in f"{options.get('system') or ''}".lower()
        read = sum(len(message.text) for message in said) // 4

        def source(token: CancelToken) -> Iterator[SourceItem]:
            if summary:
                yield "They talked about a trip: the train, a cheap hotel by the beach, and what to bring."
                written = 20
            else:
                written = 0
                for text in self.speak(token, said[-1].text):
                    written += 1
                    yield text
            yield Completed("end_turn", Usage(read, written), "end_turn")

        return Reply(source, model=self.default_model)

    def speak(self, token: CancelToken, asked: str) -> Iterable[str]:
        return [prose(self.characters, len(asked))]

    def complete(self, messages: Any, **options: Any) -> Reply:
        return self.stream(messages, **options).drain()

    def models(self) -> list[ModelInfo]:
        return [self.model_info()]

    def model_info(self, model: str | None = None) -> ModelInfo:
        name = model or self.default_model
        return ModelInfo(name, name, "Benchmark", context_window=200_000)

    def count_tokens(self, messages: Any, **options: Any) -> TokenCount:
        return TokenCount(sum(len(message.text) for message in as_messages(messages)) // 4, exact=False)


def hold(store: ConversationStore, owner: str, turns: int, *, ask: int = 100, answer: int = 400) -> str:
    """Holds a conversation of so many turns through Chats, and returns its id."""
    chats = Chats(Instant(answer), store)
    conversation = chats.create(owner).id
    after = None
    for number in range(turns):
        run = chats.submit(owner, conversation, after, f"{number}: {prose(ask, number)}")
        run.wait(60)
        after = run.turn_id
    chats.close()
    return conversation


def copy(store: ConversationStore, conversation: str, owners: list[str]) -> list[str]:
    """A copy of a stored conversation, with all that belongs to it, for each of `owners`; returns their ids."""
    import sqlalchemy as sa

    metadata = sa.MetaData()
    engine = store._engine
    metadata.reflect(engine)
    heads, turns = metadata.tables["conversations"], metadata.tables["turns"]
    documents = metadata.tables["documents"]
    with engine.connect() as connection:
        head = dict(connection.execute(sa.select(heads).where(heads.c.id == conversation)).mappings().one())
        rows = {
            table: [dict(row) for row in connection.execute(_of(table, conversation)).mappings()]
            for table in (turns, documents)
        }
    # What can be searched is written the library's own way: its tables are nobody else's business.
    words = words_of(*(text for row in rows[turns] for text in (row["user_text"], row["reply"])))
    ids = []
    for start in range(0, len(owners), 200):
        new: dict[Any, list[dict[str, Any]]] = {heads: [], **{table: [] for table in rows}}
        for number, owner in enumerate(owners[start : start + 200], start):
            names = {row["id"]: f"b{number:07x}{row['id'][8:]}" for row in rows[turns]}
            id = f"b{number:07x}{conversation[8:]}"
            ids.append(id)
            new[heads].append({**head, **_head_of(head, id, owner, number, names)})
            for table, found in rows.items():
                new[table] += [_row_of(row, id, names) for row in found]
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            for table, filled in new.items():
                if filled:
                    connection.execute(table.insert(), filled)
            for row in new[heads]:
                add_words(connection, row["owner"], row["id"], words)
    return ids


def _of(table: Any, conversation: str) -> Any:
    return table.select().where(table.c.conversation_id == conversation)


def _head_of(head: dict[str, Any], id: str, owner: str, number: int, names: dict[str, str]) -> dict[str, Any]:
    text = json.dumps(head["memory"])
    for old, name in names.items():
        text = text.replace(old, name)
    memory = json.loads(text)
    if memory is not None:
        # A summary stands for turns of these ids; one that stands for others would be made again.
        line = [MemoryTurn(name, "", "") for name in names.values()]
        marks = [memory["state"]["mark"], *memory["state"]["marks"]]
        digests = digests_of(line, {mark["covered"] for mark in marks})
        for mark in marks:
            mark["digest"] = digests.get(mark["covered"], "")
    times = {name: head[name] + number for name in ("created_at", "updated_at")}
    title = f"{number} {head['title']}"
    folded = {"folded_title": title.lower()} if "folded_title" in head else {}
    fields = {"id": id, "owner": owner, "head": names[head["head"]], "memory": memory, "title": title}
    return {**fields, **times, **folded}


def _row_of(row: dict[str, Any], id: str, names: dict[str, str]) -> dict[str, Any]:
    own = {"id": names[row["id"]], "parent": names.get(row["parent"])} if "parent" in row else {}
    return {**row, **own, "conversation_id": id}
