"""What a model takes, decided without a request. What the service says of it is in test_bedrock.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from assistant import Document, InvalidRequestError
from assistant.catalog import ModelInfo, model_info
from assistant.clients.rules import LEARNED, Wishes, check, default_max_tokens, fit, fit_messages, refused_parameter
from assistant.clients.wire import Request
from assistant.documents import MAX_DOCUMENTS, MAX_IMAGES
from assistant.messages import Message
from tests.files import PNG

HAIKU = model_info("us.anthropic.claude-haiku-4-5-20251001-v1:0")
SONNET = model_info("us.anthropic.claude-sonnet-4-6")
OPUS = model_info("us.anthropic.claude-opus-4-7")
NOVA = model_info("amazon.nova-lite-v1:0")
LLAMA = model_info("us.meta.llama3-3-70b-instruct-v1:0")


@pytest.fixture(autouse=True)
def nothing_learned():
    LEARNED.clear()
    yield
    LEARNED.clear()


def request(info: ModelInfo = HAIKU, **fields: Any) -> Request:
    return Request(info, "us-east-1", (Message("user", "hola"),), 2048, **fields)


@pytest.mark.parametrize(
    ("message", "sent", "named"),
    [
        ("`temperature` is deprecated for this model.", {"temperature": 1.0}, "temperature"),
        ("`temperature` is deprecated for this model.", {"top_p": 1.0}, None),
        ("`temperature` and `top_p` cannot both be specified", {"temperature": 1.0, "top_p": 1.0}, "top_p"),
        ("`top_p` is not supported", {"temperature": 1.0, "top_p": 1.0}, "top_p"),
        ("topP isn't known: unsupported field topP", {"top_p": 1.0}, "top_p"),
        ("This model does not support the effort parameter.", {"effort": "low"}, "effort"),
        ("output_config: Extra inputs are not permitted", {"effort": "low"}, "effort"),
        ('"thinking.type.enabled" is not supported for this model.', {"thinking": {"type": "enabled"}}, "thinking"),
        ("stopSequences is not supported by this model", {"stop_sequences": ("x",)}, "stop_sequences"),
        ("#: extraneous key [top_k] is not permitted", {"extra": {"top_k": 1}}, "top_k"),
        (
            "#: extraneous key [reasoning_effort] is not permitted",
            {"extra": {"reasoning_effort": "x"}},
            "reasoning_effort",
        ),
        ("#: extraneous key [k] is not permitted", {"extra": {"k": 1}}, "k"),
        ("#: extraneous key [reasoningConfig] is not permitted", {"effort": "low"}, "effort"),
        (
            '"thinking.type.disabled" is not supported with effort "xhigh".',
            {"thinking": {"type": "disabled"}, "effort": "xhigh"},
            "thinking",
        ),
        ("#: extraneous key [topK] is not permitted", {"extra": {"k": 1}}, None),
        ("temperature: Input should be less than or equal to 1", {"temperature": 1.0}, None),
        ("Input is too long for requested model.", {"temperature": 1.0}, None),
        ("Malformed input request, please reformat your input and try again.", {"temperature": 1.0}, None),
    ],
)
def test_a_refusal_names_a_parameter_that_was_sent_or_none(
    message: str, sent: dict[str, Any], named: str | None
) -> None:
    assert refused_parameter(message, request(**sent)) == named


@pytest.mark.parametrize("parameter", ["temperature", "top_p", "effort", "thinking", "stop_sequences", "top_k"])
def test_whatever_was_learned_is_left_out_and_told(parameter: str) -> None:
    wishes = Wishes(
        temperature=0.5 if parameter == "temperature" else None,
        top_p=0.5 if parameter == "top_p" else None,
        effort="low" if parameter == "effort" else None,
        thinking=True if parameter == "thinking" else None,
        stop_sequences=("x",) if parameter == "stop_sequences" else (),
        extra={"top_k": 1} if parameter == "top_k" else None,
    )
    before, notices = fit(request(SONNET), wishes)
    assert notices == []
    LEARNED.learn(SONNET.name, parameter)
    after, notices = fit(request(SONNET), wishes)
    assert [notice.values for notice in notices] == [{"parameter": parameter, "model": SONNET.name}]
    assert after != before
    assert after == request(SONNET)
    assert fit(request(OPUS), Wishes(thinking=True))[1] == []


@pytest.mark.parametrize(
    ("info", "thinking", "tokens"),
    [
        (HAIKU, None, 1024),
        (HAIKU, False, 1024),
        (HAIKU, True, 8192),
        (NOVA, True, 1024),
        (model_info("claude-opus-5-5"), None, 8192),
        (replace(HAIKU, max_output=4000), True, 4000),
    ],
)
def test_max_tokens_unset_leaves_room_for_thinking(info: ModelInfo, thinking: bool | None, tokens: int) -> None:
    assert default_max_tokens(info, Wishes(thinking=thinking)) == tokens


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        (Wishes(temperature=1.01), "temperature is 1.01; it goes from 0 to 1"),
        (Wishes(temperature=True), "it is a number"),
        (Wishes(top_p=-1), "top_p"),
        (Wishes(max_tokens=64_001), "from 1 to 64,000"),
        (Wishes(max_tokens=2.0), "whole number"),  # type: ignore[arg-type]
        (Wishes(effort="huge"), "effort"),
        (Wishes(stop_sequences=("", "x")), "empty"),
        (Wishes(extra={"inferenceConfig": {}}), "does not know"),
    ],
    ids=str,
)
def test_values_are_checked(wishes: Wishes, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        check(wishes, HAIKU)


def test_a_value_out_of_range_names_the_model_and_what_it_takes() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check(Wishes(max_tokens=99_999), HAIKU)
    assert (caught.value.model, HAIKU.name in caught.value.hint) == (HAIKU.id, True)


def test_values_at_the_border_are_taken() -> None:
    check(Wishes(1, 0, 1, ("x",), "max", True, {"top_k": 1}), HAIKU)
    check(Wishes(64_000, 1.0, 0), HAIKU)
    check(Wishes(extra={"inferenceConfig": {"topK": 1}}), NOVA)


def test_messages_of_one_role_are_joined_and_their_documents_kept() -> None:
    note = Document.from_text("nota " * 5000)
    messages = [
        Message("user", "uno"),
        Message("user", "dos", (note,), cache=True),
        Message("assistant", "tres"),
        Message("user", "cuatro"),
    ]
    joined = fit_messages(messages, HAIKU)
    assert [message.role for message in joined] == ["user", "assistant", "user"]
    assert joined[0] == Message("user", "uno\n\ndos", (note,), cache=True)


def test_cache_points_go_only_where_there_is_a_cache() -> None:
    (message,) = fit_messages([Message("user", "uno " * 9000, cache=True)], LLAMA)
    assert not message.cache


@pytest.mark.parametrize(
    ("words", "system", "document", "cached"),
    [
        (10, None, None, False),
        (5000, None, None, True),
        # The text comes behind a point that stands behind documents.
        (5000, None, Document.from_text("nota"), False),
        (10, None, Document.from_text("nota " * 5000), True),
        # The instructions stand before everything.
        (10, "palabra " * 5000, Document.from_text("nota"), True),
        # A file counts as more than any minimum.
        (10, None, Document("a.pdf", "pdf", b"%PDF"), True),
    ],
)
def test_a_cache_point_stands_only_behind_what_the_model_caches(
    words: int, system: str | None, document: Document | None, cached: bool
) -> None:
    documents = (document,) if document else ()
    (message,) = fit_messages([Message("user", "palabra " * words, documents, cache=True)], HAIKU, system)
    assert message.cache is cached


@pytest.mark.parametrize(
    ("info", "documents"),
    [
        (LLAMA, [Document("a.png", "png", PNG)]),
        (HAIKU, [Document(f"{n}.png", "png", PNG + b"%d" % n) for n in range(MAX_IMAGES + 1)]),
        (NOVA, [Document(f"{n}.pdf", "pdf", b"%%PDF%d" % n) for n in range(MAX_DOCUMENTS + 1)]),
    ],
    ids=["no images", "too many images", "too many documents"],
)
def test_attachments_that_do_not_fit_are_refused(info: ModelInfo, documents: list[Document]) -> None:
    with pytest.raises(InvalidRequestError) as error:
        fit_messages([Message("user", "x", tuple(documents))], info)
    assert error.value.hint
