"""Chats: the conversations of many owners at once. It owns the replies that run; pages only watch. No pixel in it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import exchange
from .clients.base import ChatClient
from .documents import Document
from .errors import InvalidRequestError, StoreError
from .limits import Admission
from .messages import CONTINUABLE, Turn, Usage, new_id
from .profiles import DayUsage, Preset, Profiles
from .remembering import MemoryItem, MemoryView, Remembering, conversation_key
from .restoring import memory_usage
from .runs import Intent, Run, Update, accept, not_saved_yet
from .session import ChatSession, Settings
from .store import (
    ConversationNotFoundError,
    ConversationStore,
    ConversationSummary,
    StaleConversationError,
    clean_text,
)
from .titles import Titler

__all__ = [
    "Chats",
    "Conversation",
    "ConversationNotFoundError",
    "ConversationSummary",
    "DayUsage",
    "MemoryItem",
    "MemoryView",
    "Preset",
    "Run",
    "StaleConversationError",
    "Update",
]

logger = logging.getLogger("assistant")

SETTINGS = ("system", *Settings.__annotations__)

# After these a title is asked for.
_WHOLE = ("end_turn", "stop_sequence", "max_tokens")

# Inside a class with a method `list`, the name means that method.
Presets = list[Preset]
Days = list[DayUsage]

# Conversations that were made and not written to yet: a page makes one whenever it is opened.
_DRAFTS = 10_000


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation to be drawn. The last turn is that of `run`, as far as it has come, while one is under way here.

    A last turn without a stop reason and without a run is written by another process; it says so for another
    `busy_for` seconds, unless it goes on. `title` is empty until something was said. `temporary`: it is in this
    process's memory alone. `usage` is what all its turns have used, superseded ones included, and its summaries as of
    the last turn; that of a running reply is added when it has ended. Documents of turns read their data when it is
    first asked for.
    """

    id: str
    owner: str
    title: str = ""
    turns: list[Turn] = field(default_factory=list)
    run: Run | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    busy_for: float = 0.0
    temporary: bool = False
    usage: Usage = field(default_factory=Usage)


class Chats(Remembering):
    """Conversations by owner: submit a text, watch the Run, stop it, come back later.

    `store`: None means ConversationStore() in its default place. `limits` is asked before each turn. `grace`: seconds
    after which a reply that nobody watches is stopped and kept as far as it came; None: never. `lease`: seconds for
    which a process that stops renewing it keeps a conversation from the others. `save_every`: seconds between two saves
    of what grows. `clock` is in seconds since the epoch. `make_session` makes an empty session; None means
    ChatSession(client). With `titles` the model is asked for a title after the first whole turn, in the background;
    else the first words are the title.

    Calls block for the database, at most its `busy_timeout`, and never for a model: on an event loop use
    `asyncio.to_thread`. All but `submit`, `continue_` and `create` raise StoreError where the database fails.
    """

    def __init__(
        self,
        client: ChatClient,
        store: ConversationStore | None = None,
        limits: Admission | None = None,
        *,
        grace: float | None = 10.0,
        lease: float = 15.0,
        save_every: float = 1.0,
        clock: Callable[[], float] = time.time,
        make_session: Callable[[], ChatSession] | None = None,
        pool_size: int = 256,
        titles: bool = False,
    ) -> None:
        super().__init__(
            client,
            store,
            limits,
            grace=grace,
            lease=lease,
            save_every=save_every,
            clock=clock,
            make_session=make_session,
            pool_size=pool_size,
        )
        self._profiles = Profiles(self.store)
        self.titles = titles
        self._titler = Titler(client) if titles else None

    # -- conversations -------------------------------------------------------------------------------------

    def create(self, owner: str, settings: Mapping[str, Any] | None = None, *, temporary: bool = False) -> Conversation:
        """A new conversation. It is stored with its first turn; until then only this process knows its id.

        `settings` None: the owner's preferences. A `temporary` one is never stored and never listed: it is gone when
        this process ends, and when a thousand newer ones were made.
        """
        if settings is None:
            try:
                settings = self._profiles.preferences(owner)
            except StoreError:
                settings = {}
        conversation = Conversation(new_id(), owner, settings=_checked(settings) or {}, temporary=temporary)
        key = owner, conversation.id
        if temporary:
            self._make_temporary(key)
        with self._lock:
            self._drafts[key] = conversation.settings
            if len(self._drafts) > _DRAFTS:
                self._drafts.popitem(last=False)
        return conversation

    def open(self, owner: str, conversation_id: str) -> Conversation:
        """The conversation as it stands, with its run where one is under way. Raises ConversationNotFoundError."""
        key = conversation_key(owner, conversation_id)
        run = self._running(key)
        stored, turns = self._look(key)
        run = self._running(key) or run
        if run is not None:
            # Newer than what is stored, also where it has ended since that was read.
            now = run.snapshot().turn
            turns = [*(turn for turn in turns if turn.id != now.id), now]
            run = None if run.done else run
        temporary = key in self._temporary
        if stored is None:
            settings = self._drafts.get(key, run.settings if run is not None else {})
            used = sum((turn.usage for turn in turns), Usage())
            return Conversation(conversation_id, owner, "", turns, run, dict(settings), temporary=temporary, usage=used)
        busy_for = 0.0 if run is not None else max(0.0, (stored.lease_until or 0.0) - self._clock())
        if run is None and not busy_for and turns and turns[-1].stop_reason is None:
            # Nobody holds it, and the database can't be written: it is said here, and stored another time.
            turns[-1] = replace(turns[-1], stop_reason="interrupted")
        used = stored.usage + memory_usage(stored.memory)
        return Conversation(
            conversation_id, owner, stored.title, turns, run, stored.settings, busy_for, temporary, used
        )

    def list(self, owner: str, limit: int = 100, search: str = "") -> list[ConversationSummary]:
        """The owner's conversations, the last changed first; with `search`, those with it in title or texts.

        Case and accents make no difference. In texts, words of three letters or more stand for all that begin so.
        """
        return self.store.list(owner, limit, search)

    def rename(self, owner: str, conversation_id: str, title: str) -> None:
        """Gives a title that no model replaces."""
        key = conversation_key(owner, conversation_id)
        self._home_of(key).store.rename(*key, title)

    def delete(self, owner: str, conversation_id: str) -> None:
        """Stops what runs and takes the conversation out of reach; `restore` brings it back."""
        key = conversation_key(owner, conversation_id)
        self._leave(key, self._home_of(key).store.delete)

    def restore(self, owner: str, conversation_id: str) -> None:
        """Takes `delete` back."""
        key = conversation_key(owner, conversation_id)
        self._home_of(key).store.restore(*key)

    def forget(self, owner: str, conversation_id: str) -> None:
        """Stops what runs and erases the conversation, every turn and document, for good."""
        key = conversation_key(owner, conversation_id)
        self._leave(key, self._home_of(key).store.erase)

    def forget_all(self, owner: str) -> None:
        """Stops what runs and erases whatever there is of the owner: conversations, documents, presets, preferences
        and usage by day. What limits have counted stays."""
        with self._lock:
            known = {key for key in (*self._pool, *self._drafts) if key[0] == owner}
        known |= {run.key for home in self._homes() for run in home.saver.all_running() if run.owner == owner}
        for key in known:
            self._leave(key, lambda *_: None)
        for home in self._homes():
            home.store.erase_all(owner)
        with self._lock:
            for key in [key for key in self._temporary if key[0] == owner]:
                del self._temporary[key]

    def rewind(self, owner: str, conversation_id: str, to: str | None) -> Conversation:
        """Undo: `to` becomes the last turn (None: there is none). What came after stays in the store, out of the line.

        Raises SessionBusyError while a reply is under way, StaleConversationError where `to` is not in the line.
        """
        key = conversation_key(owner, conversation_id, to)
        home = self._home_of(key)
        if not home.saver.flush(key):
            raise home.saver.trouble(key) or not_saved_yet()
        if key in self._drafts:
            if to is not None:
                raise StaleConversationError("The conversation has no such turn.")
        else:
            accept(home.store.move_head(owner, conversation_id, to))
        return self.open(owner, conversation_id)

    def export(
        self,
        owner: str,
        conversation_id: str,
        format: str = "markdown",
        labels: exchange.Labels = exchange.ENGLISH,
        most: int | None = None,
    ) -> str:
        """The conversation's line as "markdown", to be read, or "json", which `import_` takes in again.

        `labels` are Markdown's words around the texts. `most` is the size of a JSON file in bytes that is kept to by
        leaving out older documents. Raises InvalidRequestError for another format.
        """
        if format not in ("markdown", "json"):
            raise InvalidRequestError(f"There is no format {format!r}.", hint='Formats are "markdown" and "json".')
        key = conversation_key(owner, conversation_id)
        home = self._home_of(key)
        home.saver.flush(key)
        found = home.store.get(*key)
        return exchange.to_markdown(found, labels) if format == "markdown" else exchange.to_json(found, most)

    def import_(self, owner: str, data: str | bytes, most: int | None = None) -> Conversation:
        """A new conversation with what `export(…, "json")` gave, of at most `most` bytes where it is not trusted.

        Raises InvalidRequestError that says what is wrong.
        """
        found = exchange.from_json(data, most)
        id = new_id()
        self.store.add(owner, id, found.title, _checked(found.settings, "broken") or {}, found.turns)
        return self.open(owner, id)

    # -- owners --------------------------------------------------------------------------------------------

    def preferences(self, owner: str) -> dict[str, Any]:
        """The settings that the owner's new conversations begin with."""
        return self._profiles.preferences(owner)

    def set_preferences(self, owner: str, settings: Mapping[str, Any]) -> None:
        """Replaces them all. Raises InvalidRequestError for unknown settings."""
        self._profiles.set_preferences(owner, _checked(settings) or {})

    def presets(self, owner: str) -> Presets:
        """Settings with a name, the oldest first."""
        return self._profiles.presets(owner)

    def save_preset(self, owner: str, name: str, settings: Mapping[str, Any]) -> Preset:
        """One of the same name is replaced. Raises InvalidRequestError for an empty name and for unknown settings."""
        return self._profiles.save_preset(owner, name, _checked(settings) or {})

    def delete_preset(self, owner: str, preset_id: str) -> None:
        """Harmless where the owner has no such preset."""
        self._profiles.delete_preset(owner, preset_id)

    def usage_by_day(self, owner: str, days: int = 30) -> Days:
        """What the owner's replies used on each of the last `days` UTC days, today last; temporary ones not."""
        return self._profiles.usage_by_day(owner, days)

    # -- turns ---------------------------------------------------------------------------------------------

    def submit(
        self,
        owner: str,
        conversation_id: str,
        after: str | None,
        text: str,
        settings: Mapping[str, Any] | None = None,
        *,
        documents: Iterable[Document] = (),
        branch: bool = False,
        session: str | None = None,
    ) -> Run:
        """Begins a turn with `text` behind the turn `after` (None: at the beginning) and returns its Run at once.

        `after` is the last turn, or with `branch` (undo, edit, retry) one before it: what came after that stays in the
        store, out of the line. `settings` (model, system, temperature, …) replace the conversation's; None keeps
        them. `session` is for limits that count more than owners. The text is stored before the model is asked; where
        the database fails the reply comes all the same, with a "not_saved" notice, and is stored later.

        Raises ConversationNotFoundError, StaleConversationError (draw the page again), SessionBusyError,
        BudgetExceededError, and InvalidRequestError for an empty text or unknown settings. Whatever goes wrong later
        is the Run's: it ends with an error, as a turn that can be retried.
        """
        text = clean_text(text)
        documents = tuple(documents)
        if not text.strip() and not documents:
            raise InvalidRequestError("There is nothing to send.", hint="Write something.", code="empty")
        key = conversation_key(owner, conversation_id, after)
        intent = Intent(after, branch, _checked(settings))
        return self._launch(key, lambda: (Turn(text, documents=documents), intent), session)

    def continue_(
        self,
        owner: str,
        conversation_id: str,
        settings: Mapping[str, Any] | None = None,
        *,
        session: str | None = None,
    ) -> Run:
        """Goes on with a last turn that was cut off. Raises as `submit`; InvalidRequestError where it was not."""
        key = conversation_key(owner, conversation_id)
        checked = _checked(settings)

        def last() -> tuple[Turn, Intent]:
            turns = self._look(key)[1]
            if not turns or not turns[-1].reply or turns[-1].stop_reason not in (*CONTINUABLE, None):
                raise InvalidRequestError(
                    "The last answer was not cut off: there is nothing to continue.", code="not_cut_off"
                )
            return turns[-1], Intent(settings=checked, resumes=True)

        return self._launch(key, last, session)

    def stop(self, owner: str, conversation_id: str) -> None:
        """Ends the reply under way, if there is one in this process. Does not block."""
        run = self._running((owner, conversation_id))
        if run is not None:
            run.stop()

    def close(self, timeout: float = 5.0) -> None:
        """Stops all replies, saves them, and ends the threads. Blocks for at most about `timeout` seconds."""
        if self._titler is not None:
            self._titler.close()
        super().close(timeout)

    def _ended(self, run: Run) -> None:
        turn = run.final
        first = run.intent.after is None and not run.intent.branch and not run.lost
        if self._titler is None or turn is None or not first or not turn.reply or turn.stop_reason not in _WHOLE:
            return
        store = self._home_of(run.key).store

        def found(title: str, usage: Usage) -> None:
            if title:
                store.suggest_title(*run.key, title)
            self._spent(run.key, run.admitted, usage)

        self._titler.ask(turn, run.settings.get("model"), found)


def _checked(settings: Mapping[str, Any] | None, code: str | None = None) -> dict[str, Any] | None:
    if settings is None:
        return None
    unknown = set(settings) - set(SETTINGS)
    if unknown:
        raise InvalidRequestError(
            f"There are no settings {', '.join(sorted(unknown))}.",
            hint="Settings are: " + ", ".join(SETTINGS) + ".",
            code=code,
        )
    try:
        json.dumps(settings)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"These settings can't be kept: {error}") from error
    return dict(settings)
