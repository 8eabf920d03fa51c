"""Attachments, model and presets, memory, cost and accessibility, in a real browser."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from assistant.errors import ThrottledError
from assistant.messages import Completed, Notice, Retrying, Usage
from assistant_app import words
from assistant_app.guard import Refused, Uploads

from .browser import (
    BOT,
    BOX,
    STOP,
    THINKER,
    USER,
    OpenPage,
    ScriptedClient,
    Served,
    open_settings,
    send,
    turn,
    usable,
)

CHIP = "#chips .chip-name"
TOAST = "#assistant-toast"
SENT = "#chat .chip-name"
UPLOAD = re.compile("/gradio_api/upload")
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301010018dd8db0"
    "0000000049454e44ae426082"
)


def attach(page: Page, *files: Any) -> None:
    page.locator("#attachments input[type=file]").set_input_files(list(files))


def file(name: str, data: bytes, kind: str = "text/plain") -> dict[str, Any]:
    return {"name": name, "mimeType": kind, "buffer": data}


def answered(page: Page, status: int, detail: str) -> Callable[[Route], None]:
    """For an upload, once the page has said that it is under way."""

    def answer(route: Route) -> None:
        page.locator("#uploading").wait_for()
        route.fulfill(status=status, body=json.dumps({"detail": detail}))

    return answer


def uploads() -> set[Path]:
    """The files that lie where Gradio keeps what is uploaded."""
    return {path for path in Path(os.environ["GRADIO_TEMP_DIR"]).rglob("*") if path.is_file()}


# -- attachments -------------------------------------------------------------------------------------------


def test_a_file_goes_along_with_the_next_message_and_stays_in_the_transcript(
    open_page: OpenPage, client: ScriptedClient
) -> None:
    page = open_page()
    before = uploads()
    attach(page, file("notes & more.txt", b"The code is 1234."), file("table.csv", b"a,b\n1,2", "text/csv"))
    expect(page.locator(CHIP)).to_have_text(["notes & more.txt", "table.csv"])
    assert uploads() == before, "what was read is deleted"
    page.get_by_role("button", name="Remove table.csv").click()
    expect(page.locator(CHIP)).to_have_text(["notes & more.txt"])
    page.fill(BOX, "What is the code?")
    page.reload()
    expect(page.locator(CHIP)).to_have_text(["notes & more.txt"])
    page.press(BOX, "Enter")
    answer = client.next()
    assert [each.name for each in answer.messages[-1].documents] == ["notes & more.txt"]
    expect(page.locator(CHIP)).to_have_count(0)
    answer.finish("It is 1234.")
    expect(page.locator(BOT).last).to_have_text("It is 1234.")
    expect(page.locator(SENT)).to_have_text(["notes & more.txt"])
    usable(page)
    page.reload()
    expect(page.locator(SENT)).to_have_text(["notes & more.txt"])
    # Asked again it goes along again.
    page.locator('#chat button[aria-label="Try again"]').last.click()
    again = client.next()
    assert [each.name for message in again.messages for each in message.documents] == ["notes & more.txt"]
    again.finish("1234!")
    usable(page)


def refusal(uploads: Uploads) -> str:
    with pytest.raises(Refused) as refused:
        uploads.count("ana", 11)
    return refused.value.detail


def test_a_message_waits_for_files_on_their_way_and_a_refused_upload_is_said(
    open_page: OpenPage, client: ScriptedClient
) -> None:
    page = open_page(locale="es-ES")
    held: list[Route] = []
    page.route(UPLOAD, lambda route: held.append(route))
    attach(page, file("notes.txt", b"The code is 1234."))
    expect(page.locator("#uploading")).to_have_text(words.say("attach.uploading", "es"))
    page.fill(BOX, "What is the code?")
    page.press(BOX, "Enter")
    expect(page.locator(TOAST)).to_contain_text(words.say("attach.first", "es"))
    expect(page.locator(BOX)).to_have_value("What is the code?")
    held.pop().continue_()
    expect(page.locator(CHIP)).to_have_text("notes.txt")
    expect(page.locator("#uploading")).to_have_count(0)
    page.press(BOX, "Enter")
    answer = client.next()
    assert [each.name for each in answer.messages[-1].documents] == ["notes.txt"]
    answer.finish("1234.")
    usable(page)
    for status, detail, key, number in (
        (429, refusal(Uploads(10, 1000)), "upload_limit", 24),
        (429, refusal(Uploads(1000, 10)), "upload_limit.all", 24),
        (413, "The upload is larger than 52 MB.", "upload_size", 52),
        (502, "", "failed", 0),
    ):
        page.unroute_all()
        page.route(UPLOAD, answered(page, status, detail))
        attach(page, file("more.txt", b"more"))
        expect(page.locator(".toast-body")).to_contain_text(words.say(f"attach.{key}", "es", number=number))
    expect(page.locator("#uploading")).to_have_count(0)


def test_what_can_t_be_attached_is_explained_and_the_text_stays(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page(locale="es-MX")
    page.fill(BOX, "mi texto")
    for files, said in (
        ([file("virus.exe", b"MZ", "application/x-msdownload")], "virus.exe: no se admiten archivos de este tipo"),
        ([file("nada.txt", b"")], "nada.txt está vacío"),
        ([file("roto.pdf", b"no pdf", "application/pdf")], "No se pudo leer roto.pdf"),
        ([file("grande.txt", b"x" * 5_300_000)], "grande.txt tiene 5.3 MB"),
        ([file("foto.png", PNG, "image/png")], "scripted-1 no ve imágenes"),
        ([file(f"{n}.txt", b"%d" % n) for n in range(6)], "5.txt quedó fuera"),
    ):
        attach(page, *files)
        expect(page.locator(TOAST)).to_contain_text(said)
    expect(page.locator(BOX)).to_have_value("mi texto")
    expect(page.locator(CHIP)).to_have_text(["foto.png", *(f"{n}.txt" for n in range(5))])


PASTE = """([selector, text, image]) => {
    const data = new DataTransfer();
    if (text) data.setData("text/plain", text);
    if (image) data.items.add(new File([new Uint8Array(image)], "pasted.png", {type: "image/png"}));
    const init = {bubbles: true, cancelable: true};
    const event = selector === "drop"
        ? new DragEvent("drop", {...init, dataTransfer: data})
        : new ClipboardEvent("paste", {...init, clipboardData: data});
    document.querySelector("#message textarea").dispatchEvent(event);
}"""


def test_a_long_paste_becomes_a_document_and_no_wall_of_text(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    text = "A long story. " * 4_300
    page.evaluate(PASTE, ["paste", text, None])
    expect(page.locator(CHIP)).to_have_text(["Pasted text.txt"])
    expect(page.locator(BOX)).to_have_value("")
    send(page, "")
    answer = client.next()
    (document,) = answer.messages[-1].documents
    assert document.text == text
    answer.finish("I read it.")
    expect(page.locator(BOT).last).to_have_text("I read it.")
    expect(page.locator(USER)).to_have_text("Please read what is attached.")
    usable(page)
    # Also where it was not pasted: the chat shows a chip, and the model gets all of it.
    send(page, text + "?")
    client.next().finish("This too.")
    expect(page.locator(BOT).last).to_have_text("This too.")
    expect(page.locator(SENT)).to_have_count(2)
    usable(page)
    expect(page.locator("#chat")).not_to_contain_text("A long story. A long story.")


def test_files_are_dropped_and_images_pasted(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    page.evaluate(PASTE, ["drop", "", list(PNG)])
    expect(page.locator(CHIP)).to_have_text(["pasted.png"])
    page.get_by_role("button", name="Remove pasted.png").click()
    expect(page.locator(CHIP)).to_have_count(0)
    page.evaluate(PASTE, ["paste", "", list(PNG)])
    expect(page.locator(CHIP)).to_have_text(["pasted.png"])


def test_a_refused_message_keeps_its_text_and_its_files(
    open_page: OpenPage, client: ScriptedClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page()
    attach(page, file("notes.txt", b"The code is 1234."))
    expect(page.locator(CHIP)).to_have_count(1)
    with monkeypatch.context() as broken:
        broken.setattr(served.chats, "submit", lambda *_, **__: 1 / 0)
        send(page, "Hello")
        expect(page.get_by_text("Something went wrong.")).to_be_visible()
        usable(page)
    expect(page.locator(CHIP)).to_have_text(["notes.txt"])
    expect(page.locator(BOX)).to_have_value("Hello")
    page.press(BOX, "Enter")
    answer = client.next()
    assert [each.name for each in answer.messages[-1].documents] == ["notes.txt"]
    answer.finish("Hi.")
    usable(page)
    page.locator('#chat button[aria-label="Undo"]').last.click()
    expect(page.locator(CHIP)).to_have_text(["notes.txt"])
    expect(page.locator(BOX)).to_have_value("Hello")


# -- model, presets, defaults ------------------------------------------------------------------------------


def choose_model(page: Page, text: str) -> None:
    field = page.locator("#model input")
    field.click()
    # What stood in the field goes as soon as something is typed.
    page.wait_for_function("() => document.activeElement.selectionEnd > document.activeElement.selectionStart")
    page.keyboard.type(text)
    expect(page.locator("#model [role=option]")).to_have_count(1)
    page.get_by_role("option", name=text).click()


def test_the_fields_follow_the_model(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    open_settings(page)
    page.fill("#temperature input", "0.5")
    expect(page.locator("#effort")).to_have_count(0)
    page.locator("#model input").click()
    expect(page.get_by_role("option", name=f"Test · {THINKER} · $3 → $15 / M · LEGACY")).to_be_visible()
    choose_model(page, THINKER)
    expect(page.locator("#temperature")).to_have_count(0)
    expect(page.locator("#top_p")).to_have_count(0)
    expect(page.get_by_text(re.compile("up to 64.000"))).to_be_visible()
    page.locator("#effort input").click()
    page.get_by_role("option", name="high").click()
    send(page, "Hello")
    answer = client.next()
    assert answer.options["effort"] == "high"
    assert answer.options["temperature"] is None
    answer.finish("Hi.")
    usable(page)
    choose_model(page, "scripted-2")
    expect(page.locator("#temperature input")).to_have_value("0.5")
    expect(page.locator("#effort")).to_have_count(0)
    send(page, "Again")
    answer = client.next()
    assert (answer.options["temperature"], answer.options["effort"]) == (0.5, None)
    answer.finish("Hi again.")
    usable(page)


def test_the_list_of_models_is_refreshed_by_hand(
    open_page: OpenPage, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page()
    open_settings(page)
    ordinary = client.models()
    monkeypatch.setattr(client, "models", lambda: [*ordinary, client.model_info("brand-new")])
    page.get_by_role("button", name="Refresh the list of models").click()
    expect(page.get_by_text("4 models.")).to_be_visible()
    choose_model(page, "brand-new")
    expect(page.locator(".assistant-status code")).to_have_text("brand-new")


def test_presets_are_picked_saved_and_deleted(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    open_settings(page)
    pick = page.locator("#preset input")
    pick.click()
    page.get_by_role("option", name="Summary in five ideas").click()
    expect(page.locator("#system textarea")).to_have_value(re.compile("5 ideas"))
    page.fill("#system textarea", "Answer in rhymes.")
    page.fill("#temperature input", "0.9")
    page.get_by_role("button", name="Save preset").click()
    expect(page.get_by_text("Give the preset a name.")).to_be_visible()
    page.fill("#preset-name input, #preset-name textarea", "Poet")
    page.get_by_role("button", name="Save preset").click()
    expect(page.get_by_text("Saved: “Poet”.")).to_be_visible()
    page.reload()
    expect(page.locator("html[data-loaded]")).to_be_visible()
    open_settings(page)
    expect(page.locator("#system textarea")).to_have_value("")
    pick.click()
    page.get_by_role("option", name="Poet").click()
    expect(page.locator("#system textarea")).to_have_value("Answer in rhymes.")
    expect(page.locator("#temperature input")).to_have_value("0.9")
    page.get_by_role("button", name="Delete preset").click()
    expect(page.get_by_text("The preset was deleted.")).to_be_visible()
    pick.click()
    expect(page.get_by_role("option", name="Summary in five ideas")).to_be_visible()
    expect(page.get_by_role("option", name="Poet")).to_have_count(0)


def test_my_defaults_are_what_new_conversations_begin_with(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    open_settings(page)
    page.fill("#system textarea", "Be brief.")
    page.get_by_role("button", name="Use as my default").click()
    expect(page.get_by_text("New chats begin with these settings.")).to_be_visible()
    page.get_by_role("link", name="New chat").click()
    expect(page.locator("html[data-loaded]")).to_be_visible()
    send(page, "Hello")
    answer = client.next()
    assert answer.options["system"] == "Be brief."
    answer.finish("Hi.")
    usable(page)


# -- memory and cost ---------------------------------------------------------------------------------------


def test_memory_is_seen_edited_and_forgotten(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    page.get_by_role("button", name="What the model remembers").click()
    expect(page.get_by_text("Nothing was said yet.")).to_be_visible()
    attach(page, file("notes.txt", b"The code is 1234."))
    expect(page.locator(CHIP)).to_have_count(1)
    turn(page, client, "My name is Ana", "Hello, Ana.")
    memory = page.locator("#memory")
    expect(memory.get_by_text("My name is Ana")).to_be_visible()
    expect(memory.get_by_role("meter")).to_be_visible()
    expect(memory.get_by_text("notes.txt")).to_be_visible()
    memory.get_by_role("button", name="Remove notes.txt from memory").click()
    expect(memory.get_by_text("notes.txt")).to_have_count(0)
    page.fill("#summary textarea", "The user is called Berta.")
    page.locator("#memory-limit input[type=range]").fill("2048")
    memory.get_by_role("button", name="Save").click()
    expect(memory.get_by_text("Saved; it holds from the next message on.")).to_be_visible()
    expect(memory.get_by_text(re.compile("of 2.048 tokens"))).to_be_visible()
    send(page, "Who am I?")
    answer = client.next()
    everything = f"{answer.options['system']} {[message.text for message in answer.messages]}"
    assert "The user is called Berta." in everything
    assert not any(message.documents for message in answer.messages)
    answer.finish("Berta.")
    usable(page)
    memory.get_by_role("button", name="Forget").click()
    expect(memory.get_by_text("Forgotten.")).to_be_visible()
    expect(page.locator(USER)).to_have_count(2)
    send(page, "And now?")
    answer = client.next()
    assert [message.text for message in answer.messages] == ["And now?"]
    assert "Berta" not in str(answer.options["system"])
    answer.finish("I don't know.")
    usable(page)


def test_cost_is_seen_beneath_each_reply_and_added_up(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    for text, usage in (("One", Usage(1200, 300, cost=0.0123)), ("Two", Usage(10, 5, cost=None))):
        send(page, text)
        client.next().say(f"{text}.", Completed("end_turn", usage))
        expect(page.locator(BOT).last).to_have_text(f"{text}.")
        usable(page)
    lines = page.locator(".turn-cost")
    expect(lines).to_have_text(
        [
            re.compile(r"1.200 tokens in, 300 out · \$0\.0123 · first word after \d+\.\d s"),
            re.compile("10 tokens in, 5 out · cost unknown"),
        ]
    )
    page.get_by_role("button", name="Tokens and cost").click()
    cost = page.locator("#cost")
    expect(cost.get_by_text("This conversation")).to_be_visible()
    expect(cost.locator(".cost-sum").first).to_have_text(re.compile("1.210 tokens in, 305 out · cost unknown"))
    expect(cost.locator("svg rect")).to_have_count(1)
    page.reload()
    expect(lines).to_have_count(2)


# -- what goes wrong ---------------------------------------------------------------------------------------


def test_the_wait_for_another_attempt_counts_down(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    send(page, "Hello")
    answer = client.next()
    answer.say(Retrying(2, 600.0, ThrottledError("Too many requests")))
    expect(page.get_by_text(re.compile(r"Trying again in (600|59\d) s"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"Trying again in 5\d\d s"))).to_be_visible()
    page.click(STOP)
    expect(page.get_by_text("Stopped.")).to_be_visible()
    usable(page)


def test_a_notice_is_there_after_a_reload_once(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    left_out = Notice("parameter_left_out", "x", {"parameter": "top_p", "model": "scripted-1"})
    for text in ("One", "Two"):
        send(page, text)
        client.next().finish(left_out, f"{text}.")
        expect(page.locator(BOT, has_text=f"{text}.").last).to_be_visible()
        usable(page)
    expect(page.get_by_text("“Top-p” was left out")).to_have_count(1)
    page.reload()
    expect(page.locator(USER)).to_have_count(2)
    expect(page.get_by_text("“Top-p” was left out")).to_have_count(1)


# -- for everybody -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("colours", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_serious(open_page: OpenPage, client: ScriptedClient, colours: str, width: int) -> None:
    page = open_page(colours=colours, width=width)
    attach(page, file("notes.txt", b"The code is 1234."))
    expect(page.locator(CHIP)).to_have_count(1)
    turn(page, client, "Hello", "**Hi.**\n\n```python\nprint(1)\n```", seen="print(1)")
    send(page, "Again")
    client.next().fail(ThrottledError("slow down"))
    expect(page.locator("#chat summary")).to_be_visible()
    usable(page)
    open_settings(page)
    page.get_by_role("button", name="What the model remembers").click()
    expect(page.get_by_role("meter")).to_be_visible()
    page.get_by_role("button", name="Tokens and cost").click()
    expect(page.locator("#cost svg")).to_be_visible()
    found = violations(page)
    if width < 769:
        page.get_by_role("button", name="conversations").first.click()
        expect(page.locator(".side-new").first).to_be_in_viewport()
        found += violations(page)
    assert found == []


def violations(page: Page) -> list[str]:
    """What axe calls serious or critical; the colours of code are Gradio's."""
    page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    run = "axe.run({exclude: ['pre code']}, {resultTypes: ['violations']})"
    found = page.evaluate(f"async () => (await {run}).violations")
    return [
        f"{each['id']} ({each['impact']}): {[node['html'][:200] for node in each['nodes']]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
