"""What a conversation's memory holds, to be looked at and changed by hand between two turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .errors import InvalidRequestError
from .holdings import MemoryItem, MemoryView
from .restoring import restored_session, saved_memory
from .runner import Pooled, Runner
from .runs import Key, under_way
from .session import ChatSession
from .store import ConversationNotFoundError, StaleConversationError, StoredConversation

__all__ = ["MemoryItem", "MemoryView", "Remembering"]


class Remembering(Runner):
    """The memories of conversations. What is changed is stored at once and holds from the next turn on.

    Changes raise SessionBusyError while a reply is under way, InvalidRequestError for what makes no sense, or where
    nothing was said yet.
    """

    def memory(self, owner: str, conversation_id: str) -> MemoryView | None:
        """Summary, kept turns and pinned documents with their tokens; None while nothing was said."""
        key = conversation_key(owner, conversation_id)
        with self._lock:
            pooled = self._pool.get(key)
        if pooled is None or self._running(key) is None:
            found = self._standing(key)
            if found is None:
                return None
            pooled = found[0]
        memory: Any = pooled.session.memory
        view: MemoryView | None = memory.view() if pooled.session.transcript else None
        return view

    def set_summary(self, owner: str, conversation_id: str, text: str) -> None:
        """Corrects the summary; "" empties it."""

        def change(session: ChatSession) -> None:
            memory: Any = session.memory
            memory.summary = text

        self._change_memory(conversation_key(owner, conversation_id), change)

    def set_memory_limit(self, owner: str, conversation_id: str, limit: int) -> None:
        """`limit`: tokens of summary and kept turns together, 1 or more."""

        def change(session: ChatSession) -> None:
            memory: Any = session.memory
            memory.max_token_limit = limit

        self._change_memory(conversation_key(owner, conversation_id), change)

    def forget_memory(self, owner: str, conversation_id: str) -> None:
        """Nothing that was said or pinned so far is sent any more. The transcript stays as it is."""

        def change(session: ChatSession) -> None:
            memory: Any = session.memory
            # Memories that never summarise have nothing to keep it forgotten by.
            getattr(memory, "forget", memory.clear)()

        self._change_memory(conversation_key(owner, conversation_id), change)

    def unpin(self, owner: str, conversation_id: str, document_id: str) -> None:
        """The document is no longer sent; it stays in the transcript. Harmless where it is not pinned."""
        self._change_memory(conversation_key(owner, conversation_id), lambda session: session.memory.unpin(document_id))

    def _change_memory(self, key: Key, change: Callable[[ChatSession], object]) -> None:
        # Once more where another process had a turn in between.
        for _ in range(2):
            if key in self._starting or self._running(key) is not None:
                raise under_way()
            found = self._standing(key)
            if found is None or not found[0].session.transcript:
                raise InvalidRequestError("Nothing was said in this conversation yet.", code="no_turns")
            pooled, stored = found
            try:
                change(pooled.session)
                if self._store_memory(key, stored, pooled):
                    return
            except AttributeError as error:
                raise InvalidRequestError("This kind of memory has nothing like that to set.") from error
            except BaseException:
                # What could not be stored does not hold.
                self._drop_session(key)
                raise
            self._drop_session(key)
        raise under_way()

    def _store_memory(self, key: Key, stored: StoredConversation, pooled: Pooled) -> bool:
        state: Mapping[str, Any] | None = saved_memory(pooled.session, pooled.session.transcript[-1].id)
        if state is None or not self._home_of(key).store.set_memory(*key, stored.version, state):
            return False
        with self._lock:
            pooled.run, pooled.read = None, stored.version + 1
        return True

    def _standing(self, key: Key) -> tuple[Pooled, StoredConversation] | None:
        """The session as it stands, and the conversation that it stands for; None where nothing is stored."""
        home = self._home_of(key)
        stored, turns = self._look(key)
        if stored is None:
            return None
        if home.saver.behind(key):
            raise home.saver.trouble(key) or under_way()
        with self._lock:
            pooled = self._pool.get(key)
        if pooled is None or pooled.version != stored.version:
            self._drop_session(key)
            session = restored_session(self._make_session, turns, stored.memory)
            pooled = Pooled(session, session.system, read=stored.version, settings=stored.settings)
            self._keep(key, pooled)
        return pooled, stored


def conversation_key(owner: str, conversation_id: str, turn_id: str | None = None) -> Key:
    """Ids come from browsers, which may send what no database takes; ours are letters and digits."""
    if not isinstance(conversation_id, str) or not (conversation_id.isascii() and conversation_id.isalnum()):
        raise ConversationNotFoundError("There is no such conversation.")
    if turn_id is not None and not (isinstance(turn_id, str) and turn_id.isascii() and turn_id.isalnum()):
        raise StaleConversationError("The conversation has no such turn.")
    return owner, conversation_id
