"""Finding conversations by what was said in them: words without case and accents, the same on every database.

Only store.py and the migrations come here: this module loads SQLAlchemy.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa

from .schema import has_fts, search_texts, search_words

# Turns of a conversation share an entry: a word that all of them hold is found once, not fifty times, and what one
# more turn costs does not grow with the conversation.
_TURNS = 16
# Characters of words in an entry. PostgreSQL takes a megabyte.
_SIZE = 100_000
# Of one text, in characters; what is pasted beyond it is not found.
_LONGEST_TEXT = 200_000
_LONGEST_WORD = 40

_SCANS = ("seqscan", "indexscan", "indexonlyscan")

_WORD = re.compile(r"[^\W_]+")
# Written without spaces: each character is a word.
_IDEOGRAPHS = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")


def fold(text: str) -> str:
    """The text without case and accents: "ÁRBOL", "Árbol" and "arbol" are the same."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in apart if not unicodedata.combining(char)).casefold()


def words_of(*texts: str | None) -> set[str]:
    """The different words of texts, folded."""
    found: set[str] = set()
    for text in texts:
        if text:
            folded = fold(text[:_LONGEST_TEXT])
            if not folded.isascii():
                folded = _IDEOGRAPHS.sub(r" \1 ", folded)
            found.update(word[:_LONGEST_WORD] for word in _WORD.findall(folded))
    return found


def add_words(tx: sa.Connection, owner: str, conversation_id: str, words: Collection[str]) -> None:
    """Makes a conversation to be found by the words of one more turn."""
    t, w = search_texts.c, search_words.c
    # A turn with more words than an entry holds loses some; nobody looks for the last of ten thousand.
    new = set(_within(words, _SIZE))
    # Only SQLite's words are text, and read to see which ones are new.
    text = sa.literal("") if tx.dialect.name == "postgresql" else w.words
    newest = sa.select(t.id, t.turns, t.size, text).where(t.conversation_id == conversation_id).join(search_words)
    row = tx.execute(newest.order_by(t.id.desc()).limit(1)).first()
    size = sum(len(word) + 1 for word in new)
    if row is None or row.turns >= _TURNS or row.size + size > _SIZE:
        new.add(_owner_word(owner))
        values = {"conversation_id": conversation_id, "turns": 1, "size": size}
        (id,) = tx.execute(search_texts.insert().values(values).returning(t.id)).one()
        tx.execute(search_words.insert().values(id=id, conversation_id=conversation_id, words=_entry(tx, new)))
        return
    tx.execute(search_texts.update().where(t.id == row.id).values(turns=row.turns + 1, size=row.size + size))
    same = search_words.update().where(w.id == row.id)
    if tx.dialect.name == "postgresql":
        tx.execute(same.values(words=w.words.op("||")(_entry(tx, new))))
        return
    new -= set(row[3].split())
    if new:
        tx.execute(same.values(words=f"{row[3]} {_entry(tx, new)}"))


def found_in(tx: sa.Connection, owner: str, search: str) -> sa.Select[Any] | None:
    """The ids of the owner's conversations in which a stretch of turns holds each word, or one that begins with it."""
    words = sorted(words_of(search))
    if not words:
        return None
    t, w = search_texts.c, search_words.c
    whose = _owner_word(owner)
    if tx.dialect.name == "postgresql":
        # Words are letters and digits: nothing in them has a meaning to the parser.
        query = " & ".join([whose, *(f"{word}:*" if _begins(word) else word for word in words)])
        # For a common word the planner would read all rows, not knowing that their words are stored elsewhere: a
        # hundred times slower. For the rest of this transaction it goes by the index.
        tx.execute(sa.select(*(sa.func.set_config(f"enable_{way}", "off", True) for way in _SCANS)))
        return sa.select(w.conversation_id).where(w.words.op("@@")(sa.literal(query).op("::")(sa.text("tsquery"))))
    if has_fts(tx):
        query = " AND ".join([f'"{whose}"', *(f'"{word}"*' if _begins(word) else f'"{word}"' for word in words)])
        rows = sa.text("SELECT rowid FROM search_index WHERE search_index MATCH :query").bindparams(query=query)
        entries: Any = rows.columns(sa.column("rowid", sa.Integer)).subquery().select()
    else:
        spaced = " " + w.words + " "
        wanted = [f" {whose} ", *(f" {word}" if _begins(word) else f" {word} " for word in words)]
        entries = sa.select(w.id).where(*(spaced.contains(each, autoescape=True) for each in wanted))
    return sa.select(t.conversation_id).where(t.id.in_(entries))


def forget_words(tx: sa.Connection) -> None:
    """Takes words out of the index for good that no text holds any more. Blocks for as long as it is large."""
    if tx.dialect.name == "sqlite" and has_fts(tx):
        # Until then SQLite only notes that they are gone.
        tx.exec_driver_sql("INSERT INTO search_index(search_index) VALUES ('optimize')")


def _begins(word: str) -> bool:
    """Whether a word may be the beginning of others: half of all texts have one that begins with "a"."""
    return len(word) > 2


def _entry(tx: sa.Connection, words: Iterable[str]) -> Any:
    listed = sorted(words)
    if tx.dialect.name == "postgresql":
        return sa.func.array_to_tsvector(sa.cast(listed, sa.ARRAY(sa.Text)))
    return " ".join(listed)


def _owner_word(owner: str) -> str:
    """A word that stands for the owner, so that others' texts cost a search nothing. U+E000 is in no word of a text."""
    return "\ue000" + hashlib.sha256(owner.encode("utf-8", "replace")).hexdigest()[:24]


def _within(words: Collection[str], size: int) -> Iterable[str]:
    if sum(len(word) + 1 for word in words) <= size:
        return words
    kept, used = [], 0
    for word in sorted(words, key=lambda word: (len(word), word)):
        used += len(word) + 1
        if used > size:
            break
        kept.append(word)
    return kept
