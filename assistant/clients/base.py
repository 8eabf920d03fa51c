"""ChatClient: what every client can do; connect(): the one that fits where we are."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from ..errors import InvalidRequestError
from ..messages import Message, TokenCount
from ..reply import Reply
from ..texts import repaired

if TYPE_CHECKING:
    from ..catalog import ModelInfo

logger = logging.getLogger("assistant")

Effort = Literal["low", "medium", "high", "xhigh", "max"]
Backend = Literal["auto", "bedrock", "local"]

# What stream() takes as messages: one text, or messages in order.
Messages = str | Message | Iterable[Message | Mapping[str, Any]]


@runtime_checkable
class ChatClient(Protocol):
    """Whoever answers. A session, a memory and the page need no more than this.

    `stream` checks its arguments and returns at once; the request goes out at the reply's first step, in the
    thread that takes it. None means "the model's own": it is not sent. Errors are AssistantErrors.
    """

    @property
    def default_model(self) -> str: ...

    def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        system: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        stop_sequences: Sequence[str] = (),
        effort: Effort | None = None,
        thinking: bool | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Reply: ...

    def complete(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        system: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        stop_sequences: Sequence[str] = (),
        effort: Effort | None = None,
        thinking: bool | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Reply: ...

    def models(self) -> list[ModelInfo]: ...

    def model_info(self, model: str | None = None) -> ModelInfo: ...

    def count_tokens(
        self, messages: Messages, *, model: str | None = None, system: str | None = None
    ) -> TokenCount: ...


def as_messages(messages: Messages) -> list[Message]:
    """Messages in order, checked: something to say, roles that exist, and the user speaks first.

    A mapping has the keys `role` and `content` (or `text`), as the raw SDKs take them.
    """
    if isinstance(messages, str):
        messages = [Message("user", messages)]
    elif isinstance(messages, Message):
        messages = [messages]
    elif not isinstance(messages, Iterable):
        raise TypeError(f"messages are a str or a list of messages, not {type(messages).__name__}")
    checked: list[Message] = []
    for given in messages:
        message = given if isinstance(given, Message) else _from_mapping(given)
        text = repaired(message.text)
        if text is not message.text:
            message = replace(message, text=text)
        if message.role not in ("user", "assistant"):
            raise InvalidRequestError(
                f"A message has the role {message.role!r}.",
                hint="Roles are 'user' and 'assistant'; instructions go into system=.",
            )
        if not message.text.strip() and not message.documents:
            raise InvalidRequestError("A message is empty.", hint="Leave it out, or say something.")
        checked.append(message)
    if not checked:
        raise InvalidRequestError("There are no messages.", hint="Send at least one.")
    if checked[0].role != "user":
        raise InvalidRequestError(
            "The first message is not the user's.", hint="Most models want a conversation to begin with the user."
        )
    return checked


def _from_mapping(given: Mapping[str, Any]) -> Message:
    if not isinstance(given, Mapping):
        raise TypeError(f"a message is a Message or a mapping, not {type(given).__name__}")
    content = given.get("content", given.get("text"))
    if isinstance(content, list) and all(isinstance(part, Mapping) and "text" in part for part in content):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise InvalidRequestError(
            "A message's content is neither a string nor a list of text parts.",
            hint='Pass Message("user", "…") or {"role": "user", "content": "…"}.',
        )
    return Message(given.get("role", "user"), content)


def connect(
    backend: Backend = "auto",
    *,
    region: str | None = None,
    profile: str | None = None,
    endpoint_url: str | None = None,
    model_dir: str | os.PathLike[str] | None = None,
    guardrail: tuple[str, str] | None = None,
) -> ChatClient:
    """The client that fits: Bedrock where a region and credentials are found, else the embedded model.

    Looks, in this order, at the arguments, the environment, the profile and the container variables; at the instance
    metadata service only where a region is named too, for at most 1 s. The client's `reason` says why it was chosen.
    `model_dir`: where further GGUF files are (None: the data directory). `guardrail`: (id, version) of Bedrock's, for
    every request (None: ASSISTANT_GUARDRAIL, as "id:version"). Nothing switches after the start. Raises
    CredentialsError or InvalidRequestError where the backend that was asked for by name lacks something, or where a
    guardrail is asked for and the embedded model, which has none, would answer.
    """
    if backend not in ("auto", "bedrock", "local"):
        raise InvalidRequestError(f"There is no backend {backend!r}.", hint="Choose auto, bedrock or local.")
    guardrail = guardrail or guardrail_of_environment()
    if backend == "local":
        from .local import LocalClient

        _no_guardrail(guardrail)
        return LocalClient(reason="asked for by name", model_dir=model_dir)
    from .aws import AwsSetup

    setup = AwsSetup(region=region, profile=profile, endpoint_url=endpoint_url)
    found = setup.find()
    if backend == "bedrock" or found.usable:
        from .bedrock import BedrockClient

        found.check()
        return BedrockClient(guardrail=guardrail, setup=setup, reason=found.reason if backend == "auto" else None)
    from .local import LocalClient

    _no_guardrail(guardrail)
    return LocalClient(reason=found.reason, model_dir=model_dir)


def known_info(client: ChatClient, model: str | None) -> ModelInfo | None:
    """None where the client can't say: the request will tell what is wrong."""
    try:
        return client.model_info(model)
    except Exception:
        logger.debug("clients.model_unknown", extra={"model": model}, exc_info=True)
        return None


def guardrail_of_environment() -> tuple[str, str] | None:
    """ASSISTANT_GUARDRAIL, "id:version" or "arn:version"; None where it is not set. Raises InvalidRequestError."""
    given = environment("GUARDRAIL")
    if given is None:
        return None
    id, _, version = given.strip().rpartition(":")
    if not id or not (version.isdecimal() or version == "DRAFT"):
        raise InvalidRequestError(
            f"ASSISTANT_GUARDRAIL is {given!r}.", hint="It is an id and a version: abc123:1, or abc123:DRAFT."
        )
    return id, version


def _no_guardrail(guardrail: tuple[str, str] | None) -> None:
    """Going on without what should have stood in the way would be worse than stopping."""
    if guardrail is not None:
        raise InvalidRequestError(
            "A guardrail is asked for, and the embedded model has none.",
            hint="Set up AWS (`assistant doctor` says how), or unset ASSISTANT_GUARDRAIL.",
        )


def environment(name: str) -> str | None:
    """ASSISTANT_<name>, or None where it is unset or empty."""
    return os.environ.get(f"ASSISTANT_{name}") or None
