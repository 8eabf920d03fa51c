"""From what a page sends to a turn."""

from __future__ import annotations

from assistant.chats import Chats
from assistant.documents import Document
from assistant_app import show
from assistant_app.asking import Asked, submit
from assistant_app.attachments import LONG_TEXT

from . import echoing, listeners
from .echoing import said

client, chats = echoing.client, listeners.chats


def test_a_retry_asks_the_same_with_the_same_documents(chats: Chats) -> None:
    document = Document.from_text("The code is 1234.", "<notes>.txt")
    id = said(chats, "me", "What is it?", documents=[document])
    (turn,) = chats.open("me", id).turns
    assert "&lt;notes&gt;.txt" in show.text_of(show.conversation([turn], "en")[1])
    run, _ = submit(chats, Asked("me", id, [], "something that a page made up", {}, "retry"))
    assert run.wait(10)
    assert run.turn.user == "What is it?"
    assert [each.name for each in run.turn.documents] == ["<notes>.txt"]
    run, _ = submit(chats, Asked("me", id, [], "Another question", {}, "edit"))
    assert run.wait(10)
    assert (run.turn.user, len(run.turn.documents)) == ("Another question", 1)


def test_a_long_text_of_the_page_becomes_a_document_and_a_script_s_does_not(chats: Chats) -> None:
    text = "word " * LONG_TEXT
    asked = Asked("me", chats.create("me").id, [], text, {}, "send", alone="Read it.")
    run, _ = submit(chats, asked)
    assert run.wait(10)
    assert run.turn.user == "Read it."
    assert run.turn.documents[0].text == text
    run, _ = submit(chats, Asked("me", chats.create("me").id, [], text, {}))
    assert run.wait(10)
    assert (run.turn.user, run.turn.documents) == (text, ())
