"""The side bar in a real browser: finding, naming, deleting, taking along and bringing back conversations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from assistant_app.identity import COOKIE

from .browser import (
    BOT,
    BOX,
    PATIENCE,
    USER,
    OpenPage,
    ScriptedClient,
    Served,
    conversation_of,
    loaded,
    send,
    turn,
    usable,
)

ENTRY = ".side-entry"
TOAST = "#assistant-toast"


def titles(page: Page) -> list[str]:
    return page.locator(f"{ENTRY} a").all_inner_texts()


def choose(page: Page, title: str, action: str) -> None:
    """Opens an entry's menu and presses a button of it."""
    entry = page.locator(ENTRY, has=page.get_by_role("link", name=title, exact=True))
    entry.locator("summary").click()
    entry.get_by_role("button", name=action, exact=True).click()


def told(page: Page, served: Served, text: str, reply: str = "Fine.") -> str:
    """A conversation of this visitor's with one turn, made behind the page's back. Returns its id."""
    cookie = next(each["value"] for each in page.context.cookies() if each["name"] == COOKIE)
    owner = f"cookie:{cookie}"
    id: str = served.chats.create(owner).id
    run = served.chats.submit(owner, id, None, text)
    served.client.next().finish(reply)
    assert run.wait(PATIENCE / 1000)
    return id


def show(page: Page, id: str) -> None:
    """The page with a conversation, its entry in the list."""
    page.goto(f"{page.url.split('?')[0]}?c={id}")
    loaded(page)
    expect(page.locator(f"{ENTRY} a[aria-current=page]")).to_be_visible()


def test_conversations_are_listed_searched_and_opened(
    open_page: OpenPage, client: ScriptedClient, served: Served
) -> None:
    page = open_page()
    expect(page.get_by_text("Nothing here yet.")).to_be_visible()
    told(page, served, "About apples", "They are red.")
    show(page, told(page, served, "About <i>pears</i> & more"))
    expect(page.get_by_role("heading", name="Today")).to_be_visible()
    assert titles(page) == ["About <i>pears</i> & more", "About apples"]
    expect(page.locator(f"{ENTRY} a[aria-current=page]")).to_have_text("About <i>pears</i> & more")
    page.keyboard.press("Control+k")
    search = page.get_by_label("Search conversations")
    expect(search).to_be_focused()
    page.keyboard.type("red")
    expect(page.locator(f"{ENTRY} a")).to_have_text(["About apples"])
    search.fill("plums")
    expect(page.get_by_text("Nothing was found.")).to_be_visible()
    search.press("Escape")
    expect(search).to_have_value("")
    expect(page.locator(f"{ENTRY} a")).to_have_count(2)
    search.press("Escape")
    expect(page.locator(BOX)).to_be_focused()
    page.get_by_role("link", name="About apples").click()
    expect(page.locator(USER)).to_have_text("About apples")
    expect(page.locator(f"{ENTRY} a[aria-current=page]")).to_have_text("About apples")


def test_a_conversation_is_renamed_in_place(open_page: OpenPage, client: ScriptedClient, served: Served) -> None:
    page = open_page()
    show(page, told(page, served, "About apples"))
    page.locator(f"{ENTRY} summary").click()
    expect(page.get_by_role("button", name="Rename")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Rename")).not_to_be_visible()
    choose(page, "About apples", "Rename")
    field = page.locator(f"{ENTRY} input")
    field.fill('Fruit "of" <the> day')
    field.press("Enter")
    expect(page.get_by_role("link", name='Fruit "of" <the> day')).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name='Fruit "of" <the> day')).to_be_visible()


def test_a_deleted_conversation_can_be_taken_back_for_a_moment(
    open_page: OpenPage, client: ScriptedClient, served: Served
) -> None:
    page = open_page()
    told(page, served, "About apples")
    show(page, told(page, served, "About pears"))
    choose(page, "About apples", "Delete")
    expect(page.locator(TOAST)).to_contain_text("“About apples” was deleted.")
    expect(page.locator(f"{ENTRY} a")).to_have_text(["About pears"])
    page.locator(TOAST).get_by_role("button", name="Undo").click()
    expect(page.get_by_role("link", name="About apples")).to_be_visible()
    # The one that is shown: an empty page comes, and the moment to undo with it.
    choose(page, "About pears", "Delete")
    expect(page.get_by_text("What can I do for you?")).to_be_visible()
    page.locator(TOAST).get_by_role("button", name="Undo").click()
    expect(page.locator(USER)).to_have_text("About pears")


def test_a_conversation_goes_out_as_markdown_and_json_and_comes_back(
    open_page: OpenPage, client: ScriptedClient, served: Served, tmp_path: Path
) -> None:
    page = open_page()
    show(page, told(page, served, "About apples", "They are red."))
    with page.expect_download() as markdown:
        choose(page, "About apples", "Export as Markdown")
    assert markdown.value.suggested_filename == "About apples.md"
    assert "They are red." in Path(markdown.value.path()).read_text("utf-8")
    with page.expect_download() as exported:
        choose(page, "About apples", "Export as JSON")
    kept = tmp_path / "kept.json"
    exported.value.save_as(kept)
    assert json.loads(kept.read_text("utf-8"))
    other = open_page()
    other.get_by_text("Your data").click()
    with other.expect_file_chooser() as chooser:
        other.get_by_role("button", name="Import a conversation").click()
    chooser.value.set_files(kept)
    expect(other.locator(BOT)).to_have_text("They are red.")
    assert conversation_of(other) != conversation_of(page)
    other.get_by_text("Your data").click()
    kept.write_text("{}")
    with other.expect_file_chooser() as chooser:
        other.get_by_role("button", name="Import a conversation").click()
    chooser.value.set_files(kept)
    expect(other.locator(TOAST)).to_contain_text("This file is no conversation")
    other.locator(TOAST).get_by_text("Details").click()
    expect(other.locator(TOAST).get_by_text("its format is not")).to_be_visible()


def test_all_data_is_deleted_only_when_it_is_confirmed(
    open_page: OpenPage, client: ScriptedClient, served: Served
) -> None:
    page = open_page()
    show(page, told(page, served, "About apples"))
    asked: list[str] = []

    def answer(yes: bool) -> None:
        page.once("dialog", lambda box: (asked.append(box.message), box.accept() if yes else box.dismiss()))
        page.get_by_role("button", name="Delete all my data").click()

    page.get_by_text("Your data").click()
    answer(False)
    expect(page.locator(f"{ENTRY} a")).to_have_count(1)
    page.fill(BOX, "half a thought")
    answer(True)
    expect(page.locator(TOAST)).to_contain_text("All your data was deleted.")
    expect(page.get_by_text("Nothing here yet.")).to_be_visible()
    assert "half a thought" not in page.evaluate("JSON.stringify(sessionStorage)")
    assert "can't be undone" in asked[0]


def test_another_owner_s_conversations_can_t_be_touched(
    open_page: OpenPage, client: ScriptedClient, served: Served
) -> None:
    mine, theirs = open_page(), open_page()
    id = told(mine, served, "About apples")
    expect(theirs.get_by_text("Nothing here yet.")).to_be_visible()
    for command in (
        {"do": "delete", "id": id},
        {"do": "rename", "id": id, "title": "x"},
        {"do": "export", "id": id, "format": "json"},
        {"do": "no such thing"},
    ):
        theirs.evaluate(
            "(command) => { assistantPage.take = () => JSON.stringify(command); "
            "document.getElementById('act').click() }",
            command,
        )
        expect(theirs.locator(TOAST)).to_be_visible()
        assert "apples" not in theirs.locator(TOAST).inner_text()
        theirs.locator(TOAST).get_by_role("button", name="Close").click()
    mine.reload()
    expect(mine.get_by_role("link", name="About apples")).to_be_visible()


def test_a_temporary_chat_is_listed_nowhere(open_page: OpenPage, client: ScriptedClient, served: Served) -> None:
    page = open_page()
    page.get_by_role("link", name="Temporary chat").click()
    expect(page.get_by_text("This chat is temporary")).to_be_visible()
    expect(page.locator("html[data-loaded]")).to_be_visible()
    page.reload()
    expect(page.get_by_text("This chat is temporary")).to_be_visible()
    expect(page.locator("html[data-loaded]")).to_be_visible()
    turn(page, client, "My secret", "I will forget it.")
    turn(page, client, "Again", "Still here.")
    page.goto(page.url.split("?")[0])
    expect(page.get_by_text("Nothing here yet.")).to_be_visible()


def test_a_conversation_is_named_while_its_reply_streams(
    open_page: OpenPage, client: ScriptedClient, served: Served
) -> None:
    page = open_page()
    show(page, told(page, served, "About apples"))
    send(page, "More")
    answer = client.next()
    answer.say("one ")
    expect(page.locator(BOT).last).to_have_text("one")
    choose(page, "About apples", "Rename")
    page.locator(f"{ENTRY} input").fill("Fruit")
    page.locator(f"{ENTRY} input").press("Enter")
    expect(page.get_by_role("link", name="Fruit")).to_be_visible()
    answer.finish("two")
    expect(page.locator(BOT).last).to_have_text("one two")
    usable(page)


def test_escape_closes_a_menu_and_stops_no_reply(open_page: OpenPage, client: ScriptedClient, served: Served) -> None:
    page = open_page()
    show(page, told(page, served, "About apples"))
    send(page, "More")
    answer = client.next()
    answer.say("one ")
    expect(page.locator(BOT).last).to_have_text("one")
    entry = page.locator(ENTRY)
    entry.locator("summary").click()
    expect(entry.get_by_role("button", name="Rename")).to_be_visible()
    page.keyboard.press("Escape")
    expect(entry.get_by_role("button", name="Rename")).not_to_be_visible()
    answer.finish("two")
    expect(page.locator(BOT).last).to_have_text("one two")
    usable(page)


def test_a_turn_that_ends_disturbs_nobody_who_is_naming_a_conversation(
    open_page: OpenPage, client: ScriptedClient, served: Served
) -> None:
    page = open_page()
    show(page, told(page, served, "About apples"))
    send(page, "More")
    answer = client.next()
    choose(page, "About apples", "Rename")
    field = page.locator(f"{ENTRY} input")
    field.fill("Fru")
    answer.finish("one")
    expect(page.locator(".turn-cost")).to_have_count(2)
    usable(page)
    field.type("it")
    expect(field).to_have_value("Fruit")
    field.press("Enter")
    expect(page.get_by_role("link", name="Fruit", exact=True)).to_be_visible()


@pytest.mark.parametrize("locale", ["en-US", "es-MX"])
def test_on_a_phone_the_side_bar_waits_to_be_asked_for(open_page: OpenPage, locale: str) -> None:
    page = open_page(width=390, locale=locale)
    new = page.locator(".side-new").first
    expect(new).not_to_be_visible()
    page.get_by_role("button", name="conversa").first.click()
    expect(new).to_be_in_viewport(timeout=PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_up_arrow_edits_the_last_message(open_page: OpenPage, client: ScriptedClient, served: Served) -> None:
    page = open_page()
    turn(page, client, "First", "One.")
    page.focus(BOX)
    page.keyboard.press("ArrowUp")
    field = page.locator("#chat textarea")
    expect(field).to_have_value("First")
    expect(field).to_be_focused()
    page.keyboard.type("?")
    page.keyboard.press("Escape")
    expect(field).to_have_count(0)
    expect(page.locator(BOX)).to_be_focused()
    expect(page.locator(USER)).to_have_text("First")
    page.keyboard.press("ArrowUp")
    expect(field).to_be_focused()
    page.keyboard.type("!")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Or last?")
    page.keyboard.press("Enter")
    answer = client.next()
    assert [message.text for message in answer.messages] == ["First!\nOr last?"]
    answer.finish("Two.")
    expect(page.locator(BOT)).to_have_text("Two.")
    usable(page)
