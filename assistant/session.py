"""ChatSession: the order of one turn."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast

from .accounting import account
from .clients.base import ChatClient, Effort, connect
from .compose import Composed, check_prompt, compose, remembered_text, remembered_turns, turn_documents
from .documents import Document
from .errors import InvalidRequestError, PromptError, SessionBusyError
from .jupyter import accounts, shown
from .memory import Context, Memory, SummaryBufferMemory, memory_from_dict
from .messages import CONTINUABLE, Message, Notice, Turn, Usage
from .prompts import FewShotPrompt, PromptTemplate
from .reply import Reply, ReplyState
from .texts import listed, repaired
from .tokens import document_tokens, estimate_request, estimate_tokens, ratio

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger("assistant")

VERSION = 1

# Sent where a model does not go on from a beginning that it is given; never stored.
CONTINUE = (
    "Your last answer was cut off. Go on from exactly where it stopped, in the same language: "
    "repeat nothing of it, add no remark, begin with the next character."
)


class Settings(TypedDict, total=False):
    """What can be set for a session and, in `stream(…)`, for one turn. None means the model's own."""

    model: str | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop_sequences: Sequence[str]
    effort: Effort | None
    thinking: bool | None
    extra: Mapping[str, Any] | None


class ChatSession:
    """A conversation: client, prompt and memory, one turn at a time.

    `client`: None means `connect()`. `model`: None means the client's default. `system` are plain instructions;
    `prompt` is a PromptTemplate, FewShotPrompt or str, whose variables say how it is used: with `{history}` one user
    message holds the whole conversation; with `{input}` alone it wraps each text of the user's; with neither it is
    the system prompt. The two exclude each other. `memory`: None means SummaryBufferMemory(client). `verbose` logs
    each request and its cost.

    Nothing blocks but reading a reply. A second turn while one runs raises SessionBusyError at once; sessions are for
    one conversation, clients for any number.
    """

    def __init__(
        self,
        client: ChatClient | None = None,
        *,
        model: str | None = None,
        system: str | None = None,
        prompt: PromptTemplate | FewShotPrompt | str | None = None,
        memory: Memory | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop_sequences: Sequence[str] = (),
        effort: Effort | None = None,
        verbose: bool = False,
    ) -> None:
        if system is not None and prompt is not None:
            raise PromptError("system and prompt exclude each other.", hint="Put the instructions into the template.")
        self.client = connect() if client is None else client
        self.system = system
        self.prompt = PromptTemplate(prompt) if isinstance(prompt, str) else prompt
        if self.prompt is not None:
            check_prompt(self.prompt)
        self.memory: Memory = SummaryBufferMemory(self.client) if memory is None else memory
        self.verbose = verbose
        self.settings: Settings = {
            "model": model,
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_tokens,
            "stop_sequences": listed(stop_sequences),
            "effort": effort,
        }
        self._lock = threading.Lock()
        self._turns: list[Turn] = []
        self._usage = Usage()
        self._running: tuple[Turn, str, ReplyState] | None = None
        if verbose:
            _log_to_stderr()

    @property
    def model(self) -> str:
        return self.settings.get("model") or self.client.default_model

    @property
    def transcript(self) -> list[Turn]:
        """Every turn, word for word; the last one as far as it has come. Never blocks."""
        turns = list(self._turns)
        running = self._running
        if running is not None and turns and turns[-1] is running[0]:
            turn, before, state = running
            turns[-1] = replace(turn, reply=(before + state.text) or None)
        return turns

    @property
    def usage(self) -> Usage:
        """The sum over all replies, removed ones included: they were paid for. Summaries: `memory.usage`."""
        return self._usage

    @property
    def busy(self) -> bool:
        return self._lock.locked()

    def stream(
        self,
        text: str,
        *,
        documents: Iterable[Document] = (),
        turn_id: str | None = None,
        **overrides: Unpack[Settings],
    ) -> Reply:
        """The answer to `text`, to be iterated. Takes the session; the request goes out at the first step.

        `documents` are pinned: they stay in front of the model for later turns. `overrides` hold for this turn: model,
        temperature, top_p, max_tokens, stop_sequences, effort, thinking, extra. Raises SessionBusyError,
        InvalidRequestError, PromptError; the turn is then not in the transcript.
        """
        documents = tuple(documents)
        text = _said(text, documents)
        self._take()
        try:
            turn = Turn(text, documents=documents)
            if turn_id is not None:
                turn.id = turn_id
            reply, finish = self._answer(turn, overrides)
            self._turns.append(turn)
            return self._begin(turn, "", reply, finish)
        except BaseException:
            self._lock.release()
            raise

    def send(self, text: str, *, documents: Iterable[Document] = (), **overrides: Unpack[Settings]) -> Reply:
        """`stream`, read to its end; blocks. Raises what the answer failed with."""
        return self.stream(text, documents=documents, **overrides).drain()

    def retry(self, **overrides: Unpack[Settings]) -> Reply:
        """Asks the last turn again. The new turn takes the place of the old one, unless it fails before any text."""
        self._take()
        try:
            if not self._turns:
                raise InvalidRequestError("There is no turn to try again.", hint="Send a text first.")
            old = self._turns[-1]
            return self._supersede(len(self._turns) - 1, Turn(old.user, documents=old.documents), overrides)
        except BaseException:
            self._lock.release()
            raise

    def edit(
        self,
        turn_id: str,
        text: str,
        *,
        documents: Iterable[Document] | None = None,
        **overrides: Unpack[Settings],
    ) -> Reply:
        """The answer to `text` in place of what was said in an earlier turn, as if nothing had followed it.

        That turn and all after it leave transcript and memory; a summary that holds something of them is made again
        from what is left. Where the answer fails before any text, everything is as it was. The new turn has an id of
        its own. `documents` are its attachments; None keeps those of the old turn.

        Raises SessionBusyError, PromptError, and InvalidRequestError for an id that is not in the transcript or an
        empty text.
        """
        self._take()
        try:
            index = next((index for index, turn in enumerate(self._turns) if turn.id == turn_id), None)
            if index is None:
                raise InvalidRequestError(
                    f"There is no turn {turn_id!r} in this conversation.", hint="The ids stand in `transcript`."
                )
            kept = self._turns[index].documents if documents is None else tuple(documents)
            return self._supersede(index, Turn(_said(text, kept), documents=kept), overrides)
        except BaseException:
            self._lock.release()
            raise

    def continue_(self, **overrides: Unpack[Settings]) -> Reply:
        """Goes on with an answer that was cut off; what comes is appended to the same turn.

        Raises InvalidRequestError where the last answer came to an end of its own, or holds no text.
        """
        self._take()
        try:
            turn = self._turns[-1] if self._turns else None
            if turn is None or not turn.reply or turn.stop_reason not in CONTINUABLE:
                raise InvalidRequestError(
                    "The last answer was not cut off: there is nothing to continue.",
                    hint="Send a text, or ask for another answer with retry().",
                )
            settings = self._settings(overrides)
            # The turn to continue is the newest one in the memory: what is sent is what was sent for it, and its reply.
            reserve = self._reserve(turn, settings) + estimate_tokens(turn.reply, self.model)
            context = self.memory.context(
                reserve=reserve, each=self._around(settings), model=settings.get("model"), before=turn.id
            )
            composed = self._compose(context, turn)
            composed.messages.append(Message("assistant", turn.reply))
            if not self.client.model_info(settings.get("model")).prefill:
                composed.messages.append(Message("user", CONTINUE))
            reply = self._request(composed, settings)
            for notice in _left_out(context):
                reply.state.tell(notice)
            before, paid = turn.reply, turn.usage

            def finish(state: ReplyState) -> None:
                self._close(turn, state, before, paid)

            return self._begin(turn, before, reply, finish)
        except BaseException:
            self._lock.release()
            raise

    def undo(self) -> Turn | None:
        """Takes the last turn out of transcript and memory and returns it; None where there is none."""
        self._take()
        try:
            if not self._turns:
                return None
            removed = self._turns.pop()
            self.memory.rewind(remembered_turns(self._turns, self.memory))
            return removed
        finally:
            self._lock.release()

    def reset(self) -> None:
        """A new conversation with the same settings; pinned documents go too. What it cost stays in `usage`."""
        self._take()
        try:
            self._turns.clear()
            self.memory.clear()
        finally:
            self._lock.release()

    def to_dict(self) -> dict[str, Any]:
        """Everything but the client, as plain data for JSON. A turn that is running is saved as far as it has come."""
        prompt = self.prompt
        if isinstance(prompt, FewShotPrompt):
            raise PromptError("A session with a FewShotPrompt can't be saved.", hint="Give it as a PromptTemplate.")
        return {
            "version": VERSION,
            "system": self.system,
            "prompt": None if prompt is None else prompt.to_dict(),
            "settings": {**self.settings, "stop_sequences": list(self.settings.get("stop_sequences", ()))},
            "turns": [turn.to_dict() for turn in self.transcript],
            "usage": self._usage.to_dict(),
            "memory": self.memory.to_dict(),
        }

    @classmethod
    def from_dict(cls, client: ChatClient | None, data: Mapping[str, Any]) -> ChatSession:
        """The session that `to_dict` saved. Raises InvalidRequestError for data of a newer version."""
        if data.get("version") != VERSION:
            raise InvalidRequestError(
                f"The saved session has version {data.get('version')!r}; this package reads {VERSION}.",
                hint="Update the package.",
            )
        client = connect() if client is None else client
        prompt = data["prompt"] and PromptTemplate.from_dict(data["prompt"])
        session = cls(client, system=data["system"], prompt=prompt, memory=memory_from_dict(client, data["memory"]))
        session.settings = cast(Settings, dict(data["settings"]))
        session._turns = [Turn.from_dict(turn) for turn in data["turns"]]
        session._usage = Usage.from_dict(data["usage"])
        return session

    # -- one turn ------------------------------------------------------------------------------------------

    def _take(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise SessionBusyError("This session is in the middle of a turn.")

    def _settings(self, overrides: Settings) -> Settings:
        unknown = set(overrides) - set(Settings.__annotations__)
        if unknown:
            raise TypeError(f"unknown settings: {', '.join(sorted(unknown))}")
        merged: Settings = {**self.settings, **overrides}
        return merged

    def _answer(self, turn: Turn, overrides: Settings) -> tuple[Reply, Callable[[ReplyState], None]]:
        """The reply to a new turn, not begun, and how the turn ends. Pins are taken back where it can't be asked."""
        settings = self._settings(overrides)
        before = {document.id for document in self.memory.pinned}
        documents = turn_documents(turn, self.memory)
        try:
            for document in documents:
                self.memory.pin(document, model=settings.get("model"), turn=turn.id)
            context = self.memory.context(
                reserve=self._reserve(turn, settings), each=self._around(settings), model=settings.get("model")
            )
            reply = self._request(self._compose(context, turn), settings)
        except BaseException:
            for document in documents:
                if document.id not in before:
                    self.memory.unpin(document.id)
            raise
        for notice in (*self.memory.take_notices(), *_left_out(context)):
            reply.state.tell(notice)
        return reply, lambda state: self._close(turn, state, "", Usage())

    def _reserve(self, turn: Turn, settings: Settings) -> int:
        """Tokens that the request needs beside the memory: instructions, the new text with its files, the answer."""
        info = self.client.model_info(settings.get("model"))
        answer = settings.get("max_tokens") or info.default_max_tokens
        pinned = self.memory.pinned
        alone = self._compose(Context(pinned), turn)
        asked = estimate_request(alone.messages, alone.system) - sum(map(document_tokens, pinned))
        return answer + round(asked * ratio(info.id))

    def _around(self, settings: Settings) -> int:
        """Tokens of a template that is sent around every earlier text again."""
        if self.prompt is None or self.prompt.variables != ("input",):
            return 0
        info = self.client.model_info(settings.get("model"))
        return estimate_tokens(self.prompt.format(input=""), info.id)

    def _supersede(self, index: int, turn: Turn, overrides: Settings) -> Reply:
        """The reply to a turn that takes the place of the one at `index` and all after it."""
        line = self._turns[index:]
        pinned = {document.id for document in self.memory.pinned}

        def put_back() -> None:
            self._turns[index:] = line
            self.memory.rewind(remembered_turns(self._turns, self.memory))
            for old in line:
                for document in turn_documents(old, self.memory):
                    if document.id in pinned:
                        self.memory.pin(document, turn=old.id)

        self.memory.rewind(remembered_turns(self._turns[:index], self.memory))
        try:
            reply, finish = self._answer(turn, overrides)
        except BaseException:
            put_back()
            raise
        self._turns[index:] = [turn]

        def finish_or_put_back(state: ReplyState) -> None:
            finish(state)
            if turn.reply is None and any(old.reply is not None for old in line):
                put_back()

        return self._begin(turn, "", reply, finish_or_put_back)

    def _compose(self, context: Context, turn: Turn) -> Composed:
        return compose(
            context,
            remembered_text(turn.user, self.memory),
            # What is too large to stay pinned goes with its own turn at least.
            tuple(turn_documents(turn, self.memory)),
            prompt=self.prompt,
            system=self.system,
            human_prefix=self.memory.human_prefix,
            ai_prefix=self.memory.ai_prefix,
        )

    def _request(self, composed: Composed, settings: Settings) -> Reply:
        given: dict[str, Any] = dict(settings)
        given["stop_sequences"] = (*composed.stop_sequences, *listed(settings.get("stop_sequences") or ()))
        if self.verbose:
            extra = {"messages": composed.messages, "system": composed.system, "settings": given}
            logger.info("session.request %s", extra, extra={"event": "session.request", **extra})
        reply = self.client.stream(composed.messages, system=composed.system, **given)
        reply.state.on_end(lambda state: account(state, composed, self.client, settings.get("model")))
        return reply

    def _begin(self, turn: Turn, before: str, reply: Reply, finish: Callable[[ReplyState], None]) -> Reply:
        turn.model = reply.model
        turn.stop_reason = None
        turn.error = None
        turn.error_code = ""
        if turn.started is None:
            turn.started = time.time()
        self._running = (turn, before, reply.state)

        def end(state: ReplyState) -> None:
            try:
                finish(state)
            finally:
                self._running = None
                self._lock.release()

        reply.state.on_end(end)
        return reply

    def _close(self, turn: Turn, state: ReplyState, before: str, paid: Usage) -> None:
        """Ends a turn, however its reply ended: the transcript says what was shown and why it stopped."""
        text = before + state.text
        usage = state.usage or Usage()
        turn.reply = text if text.strip() else None
        turn.stop_reason = state.stop_reason
        turn.error = None if state.error is None else str(state.error)
        turn.error_code = "" if state.error is None else type(state.error).__name__
        turn.notices = (*turn.notices, *state.notices)
        if turn.first_text_after is None and state.first_text_at is not None and state.started_at is not None:
            turn.first_text_after = state.first_text_at - state.started_at
        turn.usage = paid + usage
        self._usage = self._usage + usage
        if turn.reply is not None:
            documents = turn_documents(turn, self.memory)
            if before:
                # The turn stands in the memory already, with the shorter reply; what it pinned goes with it.
                self.memory.rewind(remembered_turns(self._turns[:-1], self.memory))
                for document in documents:
                    self.memory.pin(document, model=turn.model, turn=turn.id)
            said = remembered_text(turn.user, self.memory)
            self.memory.add_turn(said, turn.reply, id=turn.id, documents=documents)
        if self.verbose:
            logger.info("session.turn %s", turn.to_dict(), extra={"event": "session.turn"})

    def _repr_markdown_(self) -> str:
        parts = []
        for turn in self.transcript:
            # What begins with a list or code block needs a line of its own.
            space = "\n\n" if "\n" in turn.user else " "
            parts.append(f"**{self.memory.human_prefix}:**{space}{shown(turn.user)}\n\n{shown(turn.reply or '')}")
        return "\n\n---\n\n".join([*parts, accounts(self.usage)])


def _said(text: str, documents: Sequence[Document]) -> str:
    """The text as it is kept and sent. Raises InvalidRequestError where there is nothing to send."""
    text = repaired(text)
    if not text.strip() and not documents:
        raise InvalidRequestError("There is nothing to send.", hint="Write something.")
    return text


def _left_out(context: Context) -> list[Notice]:
    notices = []
    if context.omitted:
        text = f"Oldest turns left out of this request: {context.omitted}. The model's window is full."
        notices.append(Notice("oldest_left_out", text, {"turns": context.omitted}))
    if context.left_out:
        names = ", ".join(document.name for document in context.left_out)
        text = f"Pinned documents left out of this request: {names}. The model's window is full."
        notices.append(Notice("documents_left_out", text, {"names": names}))
    return notices


def _log_to_stderr() -> None:
    """Whoever asks for verbose wants to see it; a program with logging of its own decides for itself."""
    if not logger.hasHandlers():
        logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
