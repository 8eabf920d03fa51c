"""From turns to what the chat shows, and back: which turn a page's history ends with."""

from __future__ import annotations

import html
import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from assistant import errors
from assistant.errors import AssistantError
from assistant.messages import LASTING, Notice, Turn
from assistant.runs import Update
from assistant.store import StaleConversationError

from . import words
from .attachments import chips
from .chatbot import is_text
from .figures import duration, footer, plainly

Shown = dict[str, Any]

# How a turn ended of which something is said beneath it.
_SAID = ("max_tokens", "cancelled", "interrupted", "error", "refusal", "guardrail", "context_window")

# Turns that a page is drawn with. What came before them it gets when it asks for it: each message on the page costs
# time with every turn, in the browser and on the server.
WINDOW = 12

# Marks a message of ours as none of the model's. Of the metadata that Gradio keeps, `log` alone means nothing to it
# where there is no title.
_NOTE = "note"
# The same for the chips of what was sent along.
_ATTACHED = "attached"

# Stands for the id of a conversation that is to be begun and stored nowhere.
TEMPORARY = "temporary"


def message(role: str, text: str, turn_id: str, **metadata: str) -> Shown:
    """A chat message. Never a bare str: Gradio would take its indentation away (inspect.cleandoc)."""
    return {"role": role, "content": [{"type": "text", "text": text}], "metadata": {"id": turn_id, **metadata}}


def said(text: Any) -> Shown:
    """A user's message that is no turn yet."""
    return {"role": "user", "content": [{"type": "text", "text": text if isinstance(text, str) else str(text or "")}]}


def echo(history: Any) -> list[Any] | None:
    """What a page shows, to be drawn on it again: nobody else reads it. None where it is not of text alone."""
    if not is_text(history):
        return None
    # Suggested questions belong to the last message alone.
    return [{**each, "options": None} if each.get("options") else each for each in history]


def plain(text: str) -> Shown:
    """What the endpoint answers with."""
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def conversation(turns: Sequence[Turn], language: str) -> list[Shown]:
    """A whole conversation. A last turn that still runs is shown as far as it has come."""
    shown: list[Shown] = []
    told: set[tuple[str | None, str]] = set()
    for turn in turns:
        news = [notice for notice in turn.notices if (turn.model, notice.text) not in told]
        told |= {(turn.model, notice.text) for notice in news if notice.code in LASTING}
        shown.append(message("user", user_text(turn), turn.id))
        shown += answer(turn, language, notices=news)
    if turns and shown:
        _suggest(shown[-1], turns[-1])
    return shown


def user_text(turn: Turn) -> str:
    """What the user's message shows: the text, or what was sent without one."""
    return turn.user if turn.user.strip() else "📎 " + ", ".join(each.name for each in turn.documents)


def window(turns: Sequence[Turn], language: str, size: int = WINDOW) -> list[Shown]:
    """The last `size` turns. What stands in front says how many came before them, and names the last of those, so
    that a history is one of this conversation wherever it begins."""
    hidden = len(turns) - size
    if hidden <= 0:
        return conversation(turns, language)
    return [_earlier(hidden, turns[hidden - 1].id, language), *conversation(turns[hidden:], language)]


def cut(shown: list[Shown], size: int, hidden: int, language: str) -> tuple[list[Shown], int]:
    """A window that has grown by turns, and how many come before it: the last `size` once there are three times as
    many. Reading the conversation for it would take the longer the longer that is."""
    begins = [at for at, each in enumerate(shown) if each["role"] == "user"]
    if len(begins) < 3 * size:
        return shown, hidden
    at, hidden = begins[-size], hidden + len(begins) - size
    return [_earlier(hidden, last_named(shown[:at]) or "", language), *shown[at:]], hidden


def _earlier(hidden: int, last: str, language: str) -> Shown:
    return message("assistant", words.say("chat.earlier", language, turns=hidden), last, log=_NOTE)


def size_of(history: Any, turns: Sequence[Turn]) -> int:
    """How many of the last turns a page shows: all, unless its first message names a turn."""
    first = history[0] if isinstance(history, list) and history else None
    ids = [turn.id for turn in turns]
    given = _metadata(first).get("id")
    if given not in ids:
        return len(turns)
    # The note in front of a window has the id of the turn before it.
    return len(turns) - ids.index(given) - (_metadata(first).get("log") == _NOTE)


def answer(
    turn: Turn, language: str, error: AssistantError | None = None, notices: Iterable[Notice] = ()
) -> list[Shown]:
    """What stands beneath a user's message: the text, what is to be noticed about it, and how it ended."""
    shown = attached(turn, language)
    shown += [message("assistant", turn.reply, turn.id)] if turn.reply else []
    notes = [notice_text(notice, language) for notice in notices if notice.code not in _PASSING]
    ending = _ending(turn, error, language)
    if ending:
        notes.append(ending)
    cost = footer(turn, language) if turn.stop_reason else ""
    if notes or cost:
        shown.append(message("assistant", "\n\n".join([*notes, *([cost] if cost else [])]), turn.id, log=_NOTE))
    return shown


def attached(turn: Turn, language: str) -> list[Shown]:
    """The chips of what was sent along, in front of the answer."""
    drawn = chips(turn.documents, language)
    return [message("assistant", drawn, turn.id, log=_ATTACHED)] if drawn else []


def live(update: Update, language: str) -> list[Shown]:
    """A reply on its way; before its first word, what it waits for."""
    turn = update.turn
    if update.done:
        shown = answer(turn, language, update.error, update.notices)
        if shown:
            _suggest(shown[-1], turn)
        return shown
    shown = attached(turn, language)
    shown += [message("assistant", update.text, turn.id)] if update.text else []
    if update.retrying is not None or not update.text:
        shown.append(message("assistant", "", turn.id, title=_waiting(update, language), status="pending"))
    return shown


def grows(update: Update) -> bool:
    """Whether the last thing that `live` shows is the reply's text."""
    return bool(update.text) and update.retrying is None and not update.done


def _suggest(last: Shown, turn: Turn) -> None:
    question = words.follow_up(turn.user) if turn.stop_reason == "end_turn" else None
    if question:
        last["options"] = [{"value": question}]


# Notices that matter only until the first word is there.
_PASSING = ("reading_prompt", "waiting_for_turn")


def _waiting(update: Update, language: str) -> str:
    if update.retrying is not None:
        reason = error_text(update.retrying.error, language)
        return words.say("wait.retrying", language, reason=reason, seconds=max(1, math.ceil(update.retrying.wait)))
    passing = [notice for notice in update.notices if notice.code in _PASSING]
    return notice_text(passing[-1], language) if passing else words.say("chat.waiting", language)


def notice_text(notice: Notice, language: str) -> str:
    """In the reader's language where we have the words, else in the library's own."""
    key, values = f"notice.{notice.code}", _labelled(notice.values, language)
    if notice.code == "not_saved":
        why = f"store.{values.get('code')}"
        values["why"] = words.say(why if words.knows(why) else "store.failed", language)
    return words.say(key, language, **values) if words.knows(key) else notice.text


def _labelled(values: Mapping[str, Any], language: str) -> dict[str, Any]:
    """With numbers to be read, a setting called as its field is on the page, and a range in words."""
    said = {name: plainly(value) if isinstance(value, int | float) else value for name, value in values.items()}
    name = said.get("parameter")
    label = "memory.limit" if name == "max_token_limit" else f"settings.{name}"
    if words.knows(label):
        said["parameter"] = words.say(label, language)
    if "low" in said:
        said["range"] = words.say("range.from" if said.get("high") is None else "range.between", language, **said)
    return said


def reason_text(reason: Notice | str, language: str) -> str:
    """Why this client answers."""
    if isinstance(reason, str):
        return reason
    key = f"reason.{reason.code}"
    if not words.knows(key):
        return reason.text
    # The source is the name of a variable, or these words and botocore's name for where it found them.
    chain = words.say("reason.chain", "en"), words.say("reason.chain", language)
    values = {name: str(value).replace(*chain) for name, value in reason.values.items()}
    return words.say(key, language, **values)


# -- errors ------------------------------------------------------------------------------------------------


def error_text(
    error: BaseException | type[BaseException], language: str, part: str = "", doing: str | None = None
) -> str:
    """The short words for an error: for its code or what was being done, else those of its nearest class."""
    kind = error if isinstance(error, type) else type(error)
    code, values = getattr(error, "code", None), _labelled(getattr(error, "values", {}), language)
    for each in kind.__mro__:
        for key in (f"{each.__name__}.{code}", f"{each.__name__}.{doing}", each.__name__):
            if words.knows(f"error.{key}{part}"):
                return words.say(f"error.{key}{part}", language, **values)
    return words.say(f"error.AssistantError{part}", language)


def explained(error: BaseException, language: str, doing: str | None = None) -> str:
    """An error for a person, as Markdown: what happened, what to do, and the details folded.

    `doing` is what the reader wanted: "send", "edit", "retry", "undo" or "continue".
    """
    what, then = told(error, language, doing)
    return _with_details(what, then, str(error), language)


def told(error: BaseException, language: str, doing: str | None = None) -> tuple[str, str]:
    """What happened, and what to do."""
    what, then = (error_text(error, language, part, doing) for part in ("", ".next"))
    code = getattr(error, "code", None)
    if isinstance(error, errors.BudgetExceededError):
        what = _limit_text(error, language) if words.knows(f"limit.{code}") else what
        if error.retry_after is not None:
            at = datetime.fromtimestamp(time.time() + error.retry_after, UTC)
            values = {"wait": duration(error.retry_after), "time": f"{at:%H:%M}"}
            then = words.say("error.BudgetExceededError.after", language, **values)
    elif isinstance(error, errors.StoreError) and words.knows(f"store.{code}"):
        what = words.say("error.StoreError.because", language, why=words.say(f"store.{code}", language))
    return what, then


def _limit_text(error: errors.BudgetExceededError, language: str) -> str:
    whose = f"limit.of.{error.values.get('who')}"
    limit = error.values.get("limit", 0)
    return words.say(
        f"limit.{error.code}",
        language,
        whose=words.say(whose if words.knows(whose) else "limit.of", language),
        limit=plainly(limit),
    )


def _with_details(what: str, then: str, details: str, language: str) -> str:
    text = f"**{what}** {then}"
    return f"{text}\n\n{_folded(details, language)}" if details.strip() else text


def _folded(details: str, language: str) -> str:
    # A fence longer than any in the text, so that nothing in it ends the block.
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", details)), 3)
    title = html.escape(words.say("chat.details", language))
    return f"<details><summary>{title}</summary>\n\n{fence}text\n{details}\n{fence}\n\n</details>"


def _ending(turn: Turn, error: AssistantError | None, language: str) -> str:
    if turn.stop_reason not in _SAID:
        return ""
    if turn.stop_reason in ("error", "interrupted"):
        if error is not None:
            return explained(error, language)
        if turn.error:
            kind = _kind(turn)
            if kind is not None:
                what, then = error_text(kind, language), error_text(kind, language, ".next")
                return _with_details(what, then, turn.error, language)
            said = words.say(f"end.{turn.stop_reason}", language)
            return f"**{said}**\n\n{_folded(turn.error, language)}"
    return f"*{words.say(f'end.{turn.stop_reason}', language)}*"


def _kind(turn: Turn) -> type[AssistantError] | None:
    """Which error a stored turn ended with: by its name, or by the hint of its own that each class has."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AssistantError)]
    for kind in kinds:
        if kind.__name__ == turn.error_code:
            return kind
    for kind in kinds:
        hint = kind.__dict__.get("default_hint")
        if hint and hint in (turn.error or ""):
            return kind
    return None


# -- and back ----------------------------------------------------------------------------------------------


def last_turn(history: Any, turns: Sequence[Turn]) -> str | None:
    """The id of the turn that a page's history ends with; None where it is empty.

    Only ids are read. A message without one was typed in this page a moment ago (or Stop came before the
    first word): it is taken for the turn it can only be, by its text, and believed no further than that. Raises
    StaleConversationError where the history is not one of this conversation.
    """
    position = {turn.id: index for index, turn in enumerate(turns)}
    at = -1
    for each in history if isinstance(history, list) else ():
        given = _metadata(each).get("id")
        if given is not None:
            if given not in position:
                raise StaleConversationError("The page shows a turn that is not in this conversation.")
            at = position[given]
        elif isinstance(each, Mapping) and each.get("role") == "user":
            following = turns[at + 1] if at + 1 < len(turns) else None
            if following is not None and text_of(each) == following.user:
                at += 1
    return turns[at].id if at >= 0 else None


def names_turn(given: Any) -> bool:
    """Whether a message of a history is one of a stored turn."""
    return named(given) is not None


def named(given: Any) -> str | None:
    """The id of the turn that a message says it belongs to."""
    id = _metadata(given).get("id")
    return id if isinstance(id, str) else None


def last_named(history: Any) -> str | None:
    """The turn that the last message of a history with an id belongs to."""
    return next(filter(None, map(named, reversed(history))), None) if isinstance(history, list) else None


def names_all_turns(history: Any) -> bool:
    """Whether each of a user's messages has the id of its turn: nothing has to be guessed from texts."""
    return isinstance(history, list) and all(
        isinstance(each, Mapping) and (each.get("role") != "user" or names_turn(each)) for each in history
    )


def _metadata(given: Any) -> Mapping[str, Any]:
    found = given.get("metadata") if isinstance(given, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def text_of(content: Any) -> str:
    """The text of a message's content, however Gradio wraps it: a str, parts, or a message."""
    if isinstance(content, Mapping):
        content = content.get("content", content.get("text"))
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))
