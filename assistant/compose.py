"""What is sent for one turn: instructions, pinned documents, summary, earlier turns and the new text, as messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .documents import Document
from .errors import PromptError
from .memory import Context, Memory, MemoryTurn, history_text, should_pin
from .messages import Message, Turn
from .prompts import FewShotPrompt, PromptTemplate

Prompt = PromptTemplate | FewShotPrompt


# How much of the beginning and the end of a long paste stays in the turn itself, in characters.
_EXCERPT = 300


@dataclass(frozen=True, slots=True)
class Composed:
    """`stop_sequences` keep a model that is shown a dialogue as text from writing the human's next line."""

    messages: list[Message]
    system: str | None
    stop_sequences: tuple[str, ...] = ()


def check_prompt(prompt: Prompt) -> None:
    """Raises PromptError for a template that a session can't fill."""
    unknown = set(prompt.variables) - {"history", "input"}
    if unknown:
        raise PromptError(
            f"A session fills {{history}} and {{input}}; the template also has {', '.join(sorted(unknown))}.",
            hint="Fill those with partial() first.",
        )
    if "history" in prompt.variables and "input" not in prompt.variables:
        raise PromptError("The template has {history} but no {input}.", hint="Add {input} where the new text goes.")


def pasted_document(text: str, memory: Memory) -> Document | None:
    """A pasted text that is long enough to be kept whole, as a document; None for an ordinary message."""
    return Document.from_text(text) if should_pin(text, memory.paste_limit) else None


def remembered_text(text: str, memory: Memory) -> str:
    """What stands in the turn: the text, or the ends of a long paste, whose whole is a pinned document."""
    if not should_pin(text, memory.paste_limit):
        return text
    note = "(This message is shortened. While its whole text is kept, it is a document above.)"
    return f"{text[:_EXCERPT]}\n[…]\n{text[-_EXCERPT:]}\n{note}"


def remembered_turns(turns: Iterable[Turn], memory: Memory) -> list[MemoryTurn]:
    """The turns that a memory holds: those with a reply."""
    return [MemoryTurn(turn.id, remembered_text(turn.user, memory), turn.reply) for turn in turns if turn.reply]


def turn_documents(turn: Turn, memory: Memory) -> list[Document]:
    """What is pinned for a turn: its attachments, and its text where that is a long paste."""
    paste = pasted_document(turn.user, memory)
    return [*turn.documents, *([paste] if paste is not None else [])]


def compose(
    context: Context,
    text: str,
    documents: tuple[Document, ...] = (),
    *,
    prompt: Prompt | None = None,
    system: str | None = None,
    human_prefix: str = "H",
    ai_prefix: str = "A",
) -> Composed:
    """The messages for `text` after `context`. Which way `prompt` is used follows from its variables (see ChatSession).

    `documents` of this turn that are pinned already stand in the context and are sent once.
    """
    pinned = {document.id for document in context.documents}
    new = tuple(document for document in documents if document.id not in pinned)
    variables = prompt.variables if prompt is not None else ()
    if prompt is not None and "history" in variables:
        history = history_text(context, human_prefix, ai_prefix)
        said = prompt.format(history=history, input=text)
        first = Message("user", said, (*context.documents, *new), cache=bool(context.documents))
        return Composed([first], system, _stops(prompt, human_prefix))
    if prompt is not None and not variables:
        return Composed(_dialogue(context, text, new), prompt.format())
    if prompt is not None:
        # Earlier turns too were asked in these words; the transcript keeps what the user wrote.
        said = prompt.format(input=text)
        return Composed(_dialogue(context, said, new, wrap=prompt), system)
    return Composed(_dialogue(context, text, new), system)


def _dialogue(
    context: Context, text: str, documents: tuple[Document, ...], wrap: Prompt | None = None
) -> list[Message]:
    """Messages in turn. The first carries the pinned documents, behind a cache point, and after it the summary."""
    said = [wrap.format(input=turn.user) if wrap is not None else turn.user for turn in context.turns]
    said.append(text)
    if context.summary:
        said[0] = f"<summary_so_far>\n{context.summary}\n</summary_so_far>\n\n{said[0]}"
    messages: list[Message] = []
    for user, turn in zip(said, context.turns, strict=False):
        messages += [Message("user", user), Message("assistant", turn.reply)]
    messages.append(Message("user", said[-1], documents))
    if context.documents:
        first = messages[0]
        messages[0] = Message("user", first.text, (*context.documents, *first.documents), cache=True)
    return messages


def _stops(prompt: Prompt, human_prefix: str) -> tuple[str, ...]:
    label = prompt.label_before("input") if isinstance(prompt, PromptTemplate) else None
    stops = [f"\n{human_prefix}:"]
    if label and f"\n{label}" not in stops:
        stops.append(f"\n{label}")
    return tuple(stops)
