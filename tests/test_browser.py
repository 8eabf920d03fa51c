"""The page in a real browser, against a client whose answers each test speaks itself.

Nothing sleeps: the test decides when a word comes, and waits for what must be seen. Without Chromium these tests skip
and say what to install; with ASSISTANT_REQUIRE_BROWSER set they fail.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from assistant.errors import InvalidRequestError, StreamInterruptedError, ThrottledError
from assistant.messages import Notice, Retrying
from assistant_app import words

from .browser import (
    BOT,
    BOX,
    PATIENCE,
    STOP,
    USER,
    OpenPage,
    ScriptedClient,
    Served,
    conversation_of,
    loaded,
    open_settings,
    send,
    serving,
    texts,
    turn,
    usable,
)

# -- a turn ------------------------------------------------------------------------------------------------


def test_text_appears_while_it_streams_and_the_next_turn_knows_the_last(
    open_page: OpenPage, client: ScriptedClient
) -> None:
    page = open_page()
    send(page, "Hello")
    answer = client.next()
    # Whoever touches nothing sends nothing but the text.
    assert all(answer.options[name] is None for name in ("temperature", "top_p", "max_tokens", "system"))
    answer.say("One ")
    expect(page.locator(BOT)).to_have_text("One")
    expect(page.locator(STOP)).to_be_visible()
    answer.say("two ")
    expect(page.locator(BOT)).to_have_text("One two")
    answer.finish("three.")
    expect(page.locator(BOT)).to_have_text("One two three.")
    usable(page)
    send(page, "And then?")
    second = client.next()
    assert [message.text for message in second.messages] == ["Hello", "One two three.", "And then?"]
    second.finish("Four.")
    expect(page.locator(BOT).last).to_have_text("Four.")


def test_the_box_keeps_its_placeholder_and_gets_the_focus_back(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    turn(page, client, "Hello", "Hi.")
    expect(page.locator(BOX)).to_be_focused()
    expect(page.locator(BOX)).to_have_attribute("placeholder", "Write a message…")
    page.get_by_label("Retry").or_(page.get_by_label("Try again")).last.click()
    client.next().finish("Hi again.")
    expect(page.locator(BOT)).to_have_text("Hi again.")
    usable(page)
    expect(page.locator(BOX)).to_have_attribute("placeholder", "Write a message…")


def test_line_breaks_indentation_and_tabs_arrive_as_they_were_written(
    open_page: OpenPage, client: ScriptedClient
) -> None:
    page = open_page()
    code = "```python\ndef f():\n\treturn 1\n```\n    indented\n"
    send(page, "Code, please")
    client.next().finish(code)
    expect(page.locator(f"{BOT} code").first).to_contain_text("return 1")
    # Markdown in the browser draws a tab as four blanks; cleandoc would have left none.
    assert "\n    return 1" in page.locator(f"{BOT} code").first.inner_text()
    usable(page)
    # The same the other way round: Shift+Enter breaks the line, Enter sends.
    page.fill(BOX, "one")
    page.press(BOX, "Shift+Enter")
    page.type(BOX, "two")
    page.press(BOX, "Enter")
    again = client.next()
    assert again.messages[1].text == code
    assert again.text == "one\ntwo"
    again.finish("Done.")
    usable(page)


def test_stop_and_escape_end_a_reply_at_once_and_keep_what_came(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    send(page, "Tell me a story")
    answer = client.next()
    answer.say("Once upon a time")
    expect(page.locator(BOT)).to_have_text("Once upon a time")
    page.click(STOP)
    assert answer.cancelled.wait(PATIENCE / 1000)
    expect(page.get_by_text("Stopped.")).to_be_visible()
    usable(page)
    # Before the first word.
    send(page, "Are you there?")
    answer = client.next()
    page.click(STOP)
    assert answer.cancelled.wait(PATIENCE / 1000)
    expect(page.get_by_text("Stopped.")).to_have_count(2)
    usable(page)
    send(page, "Another story")
    answer = client.next()
    answer.say("There was")
    expect(page.locator(BOT, has_text="There was")).to_be_visible()
    page.keyboard.press("Escape")
    assert answer.cancelled.wait(PATIENCE / 1000)
    usable(page)
    turn(page, client, "Something else", "Fine.")
    assert texts(page, USER) == ["Tell me a story", "Are you there?", "Another story", "Something else"]


def test_what_is_waited_for_is_said(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    send(page, "A long text")
    answer = client.next()
    answer.say(Notice("reading_prompt", "reading, about 12 s", {"seconds": 12}))
    expect(page.get_by_text("Reading, about 12 s")).to_be_visible()
    answer.say(Retrying(2, 7.0, ThrottledError("Too many requests")))
    expect(page.get_by_text(re.compile(r"Too many requests\. Trying again in [67] s"))).to_be_visible()
    answer.finish("Here it is.")
    expect(page.locator(BOT).last).to_have_text("Here it is.")
    expect(page.get_by_text("Trying again")).to_have_count(0)
    usable(page)


# -- the accordion -----------------------------------------------------------------------------------------


def test_the_accordion_s_values_arrive_at_the_model_and_stay_with_the_conversation(
    open_page: OpenPage, client: ScriptedClient
) -> None:
    page = open_page()
    open_settings(page)
    page.locator("#model input").click()
    page.get_by_role("option", name="Test · scripted-2").click()
    for name, value in (("temperature", "0.3"), ("top_p", "0.8"), ("max_tokens", "321")):
        page.fill(f"#{name} input", value)
    page.fill("#system textarea", "Answer in rhymes.")
    send(page, "Hello")
    answer = client.next()
    wanted = {"model": "scripted-2", "temperature": 0.3, "top_p": 0.8, "max_tokens": 321, "system": "Answer in rhymes."}
    assert {name: answer.options[name] for name in wanted} == wanted
    expect(page.locator(".assistant-status code")).to_have_text("scripted-2")
    answer.finish("Ahoy.")
    usable(page)
    page.reload()
    expect(page.locator(BOT)).to_have_text("Ahoy.")
    open_settings(page)
    expect(page.locator("#temperature input")).to_have_value("0.3")
    expect(page.locator("#system textarea")).to_have_value("Answer in rhymes.")


def test_a_value_out_of_range_is_explained_and_the_page_goes_on(
    open_page: OpenPage, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary = client.stream

    def strict(messages: Any, **options: Any) -> Any:
        if (options.get("temperature") or 0) > 1:
            raise InvalidRequestError("temperature is 99.0; it goes from 0 to 1.")
        return ordinary(messages, **options)

    monkeypatch.setattr(client, "stream", strict)
    page = open_page()
    open_settings(page)
    page.fill("#temperature input", "99")
    page.locator("#model input").fill("no-such-model")
    page.keyboard.press("Tab")
    send(page, "Hello")
    expect(page.get_by_text("The model does not take this request.")).to_be_visible()
    page.get_by_text("Details", exact=True).click()
    expect(page.get_by_text("it goes from 0 to 1")).to_be_visible()
    usable(page)
    page.fill("#temperature input", "")
    turn(page, client, "Hello again", "Hi.")


# -- who sees what -----------------------------------------------------------------------------------------


def test_a_second_browser_sees_nothing_of_it(open_page: OpenPage, client: ScriptedClient) -> None:
    mine = open_page()
    turn(mine, client, "My secret is xyzzy-plugh", "I will keep it.")
    theirs = open_page(path=f"/?c={conversation_of(mine)}")
    expect(theirs.get_by_text("There is no such conversation, or it is not yours.")).to_be_visible()
    assert theirs.locator(USER).count() == 0
    assert "xyzzy" not in theirs.content()
    assert conversation_of(theirs) == ""
    send(theirs, "What is the secret?")
    answer = client.next()
    assert [message.text for message in answer.messages] == ["What is the secret?"]
    answer.finish("Which one?")
    expect(theirs.locator(BOT)).to_have_text("Which one?")


def test_two_visitors_are_answered_at_the_same_time(open_page: OpenPage, client: ScriptedClient) -> None:
    one, two = open_page(), open_page()
    send(one, "one")
    first = client.next()
    first.say("first")
    send(two, "two")
    second = client.next()
    second.say("second")
    expect(one.locator(BOT)).to_have_text("first")
    expect(two.locator(BOT)).to_have_text("second")
    first.finish()
    second.finish()
    usable(one)
    usable(two)


# -- it lasts ----------------------------------------------------------------------------------------------


def test_a_reload_keeps_the_conversation_and_goes_on_with_a_running_reply(
    open_page: OpenPage, client: ScriptedClient
) -> None:
    page = open_page()
    send(page, "Count")
    answer = client.next()
    answer.say("one, ")
    expect(page.locator(BOT)).to_have_text("one,")
    page.reload()
    expect(page.locator(BOT)).to_have_text("one,")
    expect(page.locator(STOP)).to_be_visible()
    answer.say("two, ")
    expect(page.locator(BOT)).to_have_text("one, two,")
    page.click(STOP)
    assert answer.cancelled.wait(PATIENCE / 1000)
    expect(page.get_by_text("Stopped.")).to_be_visible()
    usable(page)
    # Before the first word.
    send(page, "Again")
    answer = client.next()
    page.reload()
    expect(page.get_by_text("Waiting for the model")).to_be_visible()
    answer.finish("three")
    expect(page.locator(BOT, has_text="three")).to_be_visible()
    usable(page)
    # After the last one, with another message begun.
    page.fill(BOX, "half a thought")
    page.reload()
    expect(page.locator(BOX)).to_have_value("half a thought")
    # It waits there while another conversation is looked at.
    here = page.url
    page.goto(here.split("?")[0])
    loaded(page)
    expect(page.locator(BOX)).to_have_value("")
    page.goto(here)
    expect(page.locator(BOX)).to_have_value("half a thought")
    expect(page.locator(BOT, has_text="three")).to_be_visible()
    turn(page, client, "Fine", "Good.")
    assert texts(page, USER) == ["Count", "Again", "Fine"]


def test_a_stale_tab_is_told_redrawn_and_keeps_what_was_typed(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    turn(page, client, "Hello", "Hi.")
    tab = open_page(beside=page, path=f"/?c={conversation_of(page)}")
    expect(tab.locator(BOT)).to_have_text("Hi.")
    turn(page, client, "News", "Nothing new.")
    send(tab, "My own question")
    expect(tab.get_by_text("This conversation went on in another tab.")).to_be_visible()
    expect(tab.locator(BOX)).to_have_value("My own question")
    expect(tab.locator(USER)).to_have_text(["Hello", "News"])
    expect(tab.locator(BOT)).to_have_text(["Hi.", "Nothing new."])
    assert client.asked.empty()
    usable(tab)
    tab.press(BOX, "Enter")
    client.next().finish("Now it counts.")
    expect(tab.locator(BOT).last).to_have_text("Now it counts.")


def test_a_second_tab_shows_a_running_reply_and_keeps_what_is_sent_meanwhile(
    open_page: OpenPage, client: ScriptedClient
) -> None:
    page = open_page()
    turn(page, client, "Hello", "Hi.")
    tab = open_page(beside=page, path=f"/?c={conversation_of(page)}")
    send(page, "Count")
    answer = client.next()
    answer.say("one, ")
    send(tab, "Me too")
    expect(tab.get_by_text("This conversation is still being answered.")).to_be_visible()
    expect(tab.locator(BOT).last).to_have_text("one,")
    answer.finish("two.")
    expect(tab.locator(BOT).last).to_have_text("one, two.")
    expect(tab.locator(BOX)).to_have_value("Me too")
    usable(tab)
    tab.close()
    # One that is opened meanwhile.
    send(page, "Count on")
    answer = client.next()
    answer.say("three, ")
    expect(page.locator(BOT).last).to_have_text("three,")
    tab = open_page(beside=page, path=f"/?c={conversation_of(page)}")
    answer.finish("four.")
    expect(tab.locator(BOT).last).to_have_text("three, four.")
    expect(page.locator(BOT).last).to_have_text("three, four.")
    usable(tab)


def test_a_conversation_outlives_the_server(browser: Browser, open_page: OpenPage, tmp_path: Path) -> None:
    client = ScriptedClient()
    client.echo = True
    with serving(client, tmp_path) as first:
        page = open_page(url=first.url, locale="es-MX")
        send(page, "Hello")
        expect(page.locator(BOT)).to_have_text("You said: Hello")
        usable(page)
        path = f"/?c={conversation_of(page)}"
    send(page, "Anybody there?")
    expect(page.get_by_text(words.say("chat.lost", "es"))).to_be_visible()
    with serving(client, tmp_path) as second:
        again = open_page(beside=page, url=second.url, path=path)
        expect(again.locator(BOT)).to_have_text("You said: Hello")


@pytest.mark.parametrize("arrives", [True, False])
def test_what_was_sent_in_vain_comes_back_into_the_box(
    open_page: OpenPage, client: ScriptedClient, arrives: bool
) -> None:
    page = open_page()
    turn(page, client, "Hello", "Hi.")
    notes = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"The code is 1234."}
    page.locator("#attachments input[type=file]").set_input_files([notes])  # type: ignore[list-item]
    expect(page.locator("#chips .chip-name")).to_have_count(1)
    if arrives:
        send(page, "Are you there?")
        client.next().say("Yes")
        expect(page.locator(BOT).last).to_contain_text("Yes")
    else:
        # The message stands in the chat before its request is on the way: the way is cut until that has failed.
        page.route(re.compile("/queue/join"), lambda route: route.abort())
        with page.expect_event("requestfailed", lambda request: "Are you there?" in (request.post_data or "")):
            send(page, "Are you there?")
        page.unroute_all()
    expect(page.locator(USER)).to_have_count(2)
    page.reload()
    loaded(page)
    expect(page.locator(USER)).to_have_count(2 if arrives else 1)
    expect(page.locator(BOX)).to_have_value("" if arrives else "Are you there?")
    expect(page.locator("#chips .chip-name")).to_have_count(0 if arrives else 1)


def test_a_page_from_before_a_restart_can_still_be_used(
    open_page: OpenPage, client: ScriptedClient, served: Served
) -> None:
    page = open_page()
    # What a restart forgets: the conversation that was given to the page and not written to yet.
    served.chats._drafts.clear()
    turn(page, client, "Hello", "Hi.")
    turn(page, client, "Again", "Hi again.")
    page.reload()
    expect(page.locator(USER)).to_have_text(["Hello", "Again"])


# -- retry, undo, edit, continue ---------------------------------------------------------------------------


def press(page: Page, label: str) -> None:
    page.locator(f'#chat button[aria-label="{label}"]').last.click()


def test_retry_asks_the_last_message_again_however_early_it_is_clicked(
    open_page: OpenPage, client: ScriptedClient, served: Served
) -> None:
    page = open_page()
    page.get_by_role("button", name="Tokens and cost").click()
    turn(page, client, "First", "One.")
    send(page, "Second")
    client.next().finish("Two.")
    expect(page.locator(BOT).last).to_have_text("Two.")
    retry = page.locator('#chat button[aria-label="Try again"]').last
    expect(retry).to_be_enabled()
    retry.dblclick()
    answer = client.next()
    assert [message.text for message in answer.messages] == ["First", "One.", "Second"]
    answer.say("Two, ")
    expect(page.locator(BOT).last).to_have_text("Two,")
    # A click on a disabled button is lost, too, however short it is disabled: nothing may do so after the end.
    page.evaluate(
        """() => {
            window.disabled = [];
            const enabled = new Set();
            new MutationObserver((found) => found.forEach(({ target }) => {
                if (!target.disabled) enabled.add(target);
                else if (enabled.has(target)) disabled.push(target.getAttribute("aria-label"));
            })).observe(document.getElementById("chat"), { subtree: true, attributeFilter: ["disabled"] });
        }"""
    )
    answer.finish("again.")
    expect(page.locator(BOT).last).to_have_text("Two, again.")
    # The last of what happens after a turn.
    expect(page.locator("#cost .cost-table tbody tr").last.locator("td").first).to_have_text("3")
    usable(page)
    assert page.evaluate("disabled") == []
    assert client.asked.empty()
    page.reload()
    expect(page.locator(BOT)).to_have_text(["One.", "Two, again."])
    turn(page, client, "Third", "Three.")


def test_undo_takes_the_last_turn_back_for_good(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    turn(page, client, "First", "One.")
    turn(page, client, "Second", "Two.")
    press(page, "Undo")
    expect(page.locator(BOX)).to_have_value("Second")
    expect(page.locator(USER)).to_have_text(["First"])
    page.fill(BOX, "Other")
    page.press(BOX, "Enter")
    answer = client.next()
    assert [message.text for message in answer.messages] == ["First", "One.", "Other"]
    answer.finish("Well.")
    expect(page.locator(BOT).last).to_have_text("Well.")
    usable(page)
    press(page, "Undo")
    expect(page.locator(USER)).to_have_count(1)
    page.reload()
    expect(page.locator(USER)).to_have_text(["First"])


def test_undo_in_a_stale_tab_takes_nothing_that_was_not_seen(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    turn(page, client, "Hello", "Hi.")
    tab = open_page(beside=page, path=f"/?c={conversation_of(page)}")
    expect(tab.locator(BOT)).to_have_text("Hi.")
    turn(page, client, "News", "Nothing new.")
    press(tab, "Undo")
    expect(tab.locator(BOT)).to_have_text(["Hi.", "Nothing new."])
    expect(tab.get_by_text("This conversation went on in another tab.")).to_be_visible()


def edit(page: Page, index: int, text: str) -> None:
    page.locator('#chat button[aria-label="Edit"]').nth(index).click()
    page.locator("#chat textarea").fill(text)
    page.locator('#chat button[aria-label="Submit"]').click()


def test_an_edited_message_is_answered_anew_and_can_be_stopped(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    turn(page, client, "First", "One.")
    turn(page, client, "Second", "Two.")
    edit(page, 0, "Changed")
    answer = client.next()
    assert [message.text for message in answer.messages] == ["Changed"]
    answer.say("Well")
    expect(page.locator(BOT)).to_have_text(["Well"])
    page.click(STOP)
    assert answer.cancelled.wait(PATIENCE / 1000)
    expect(page.get_by_text("Stopped.")).to_be_visible()
    usable(page)
    page.reload()
    expect(page.locator(USER)).to_have_text(["Changed"])
    turn(page, client, "Next", "Fine.")


def test_a_cut_answer_can_be_continued(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    turn(page, client, "Count", "one, two,", stop_reason="max_tokens")
    expect(page.get_by_text("The answer reached its longest length.")).to_be_visible()
    page.get_by_role("button", name="Continue the answer").click()
    answer = client.next()
    answer.say(" three")
    expect(page.locator(BOT).first).to_have_text("one, two, three")
    expect(page.locator(STOP)).to_be_visible()
    answer.finish(".")
    expect(page.locator(BOT)).to_have_text("one, two, three.")
    expect(page.get_by_role("button", name="Continue the answer")).to_have_count(0)
    usable(page)
    turn(page, client, "Thanks", "You are welcome.")


# -- errors ------------------------------------------------------------------------------------------------


def test_an_error_leaves_the_page_usable_and_says_what_to_do(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    send(page, "Hello")
    client.next().fail(ThrottledError("ThrottlingException: Too many tokens", region="us-east-1"))
    expect(page.get_by_text("Too many requests.")).to_be_visible()
    expect(page.get_by_text("Wait a minute and try again").first).to_be_visible()
    expect(page.get_by_text("ThrottlingException")).not_to_be_visible()
    page.get_by_text("Details", exact=True).click()
    expect(page.get_by_text("ThrottlingException")).to_be_visible()
    usable(page)
    press(page, "Try again")
    client.next().finish("Hi.")
    expect(page.locator(BOT)).to_have_text("Hi.")
    usable(page)


def test_a_cut_off_reply_keeps_its_text_and_survives_a_reload_with_its_reason(
    open_page: OpenPage, client: ScriptedClient
) -> None:
    page = open_page(locale="es-MX")
    send(page, "Cuenta")
    answer = client.next()
    answer.say("uno, dos")
    answer.fail(StreamInterruptedError("The connection was lost."))
    expect(page.get_by_text("La respuesta se cortó.")).to_be_visible()
    expect(page.locator(BOT).first).to_have_text("uno, dos")
    expect(page.get_by_role("button", name="Continuar la respuesta")).to_be_visible()
    usable(page)
    page.reload()
    expect(page.get_by_text("La respuesta se cortó.")).to_be_visible()
    expect(page.get_by_role("button", name="Continuar la respuesta")).to_be_visible()


def test_a_bug_of_ours_freezes_nothing(
    open_page: OpenPage, client: ScriptedClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page()
    with monkeypatch.context() as broken:
        broken.setattr(served.chats, "submit", lambda *_, **__: 1 / 0)
        send(page, "Hello")
        expect(page.get_by_text("Something went wrong.")).to_be_visible()
        usable(page)
        expect(page.locator(BOX)).to_have_value("Hello")
    turn(page, client, "Hello", "Hi.")
    assert texts(page, USER) == ["Hello"]


# -- examples and languages --------------------------------------------------------------------------------


@pytest.mark.parametrize(("locale", "language"), [("en-US", "en"), ("es-MX", "es")])
def test_the_page_speaks_the_browser_s_language(
    open_page: OpenPage, client: ScriptedClient, locale: str, language: str
) -> None:
    def say(key: str) -> str:
        return words.say(key, language)

    page = open_page(locale=locale)
    expect(page).to_have_title(say("app.title"))
    expect(page.locator("h1")).to_have_text(say("app.title"))
    expect(page.get_by_text(say("app.greeting"))).to_be_visible()
    expect(page.locator(BOX)).to_have_attribute("placeholder", say("chat.placeholder"))
    expect(page.get_by_role("button", name=say("chat.send"))).to_be_visible()
    page.get_by_role("button", name=say("settings.label")).click()
    for name in ("model", "temperature", "max_tokens", "system"):
        expect(page.get_by_text(say(f"settings.{name}.info"))).to_be_visible()
    expect(page.get_by_placeholder(say("settings.own"))).to_have_count(3)
    for name in words.EXAMPLES:
        expect(page.get_by_text(say(f"example.{name}"), exact=True)).to_be_visible()
    assert "__i18n__" not in page.content().split("window.gradio_config")[-1].split("</script>", 1)[-1]
    turn(page, client, "…", "```\nok\n```", seen="ok")
    for label in ("chatbot.retry", "chatbot.undo", "chatbot.edit", "chatbot.copy_message", "chat.copy_code"):
        expect(page.locator(f'#chat button[aria-label="{say(label)}"]').last).to_be_attached()
    expect(page.get_by_role("group", name=say("chat.yours"))).to_have_text("…")
    expect(page.get_by_role("group", name=say("chat.answer")).first).to_have_text("ok")
    page.get_by_role("button", name=say("memory.label")).click()
    expect(page.get_by_role("slider", name=say("memory.limit"))).to_be_visible()
    expect(page.get_by_role("button", name=say("memory.reset"))).to_be_visible()


def test_the_chosen_colours_stay_and_nothing_else_of_gradio_s_settings_is_shown(open_page: OpenPage) -> None:
    page = open_page(locale="es-ES")
    page.locator("footer button.settings").click()
    expect(page.locator(".api-docs h2").locator("visible=true")).to_have_count(2)
    page.get_by_role("button", name="Oscuro").click()
    expect(page.locator("body.dark")).to_be_visible()
    page.goto(page.url.partition("?")[0])
    loaded(page)
    expect(page.locator("body.dark")).to_be_visible()
    page.locator("footer button.settings").click()
    page.get_by_role("button", name="Como el sistema").click()
    expect(page.locator("body.dark")).to_have_count(0)


def test_an_example_runs_and_suggests_its_follow_up(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page(locale="es-ES")
    page.get_by_text("Resume un texto en cinco ideas").click()
    answer = client.next()
    assert answer.text == words.say("example.summary.text", "es")
    answer.finish("1. …")
    expect(page.get_by_text("¿Soy dueño de mis datos?")).to_be_visible()
    usable(page)
    page.get_by_text("¿Soy dueño de mis datos?").click()
    follow_up = client.next()
    assert [message.text for message in follow_up.messages][1:] == ["1. …", "¿Soy dueño de mis datos?"]
    follow_up.say("Sí")
    expect(page.locator(STOP)).to_be_visible()
    page.click(STOP)
    assert follow_up.cancelled.wait(PATIENCE / 1000)
    usable(page)
    turn(page, client, "Gracias", "De nada.")
    assert len(texts(page, USER)) == 3


# -- the page itself ---------------------------------------------------------------------------------------


def test_no_request_leaves_the_host(browser: Browser, served: Served, client: ScriptedClient) -> None:
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.goto(served.url)
    turn(page, client, "Hello", "**Hi.** $$x^2$$\n\n```python\nprint(1)\n```", seen="print(1)")
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {urlsplit(served.url).netloc}
    assert problems == []
    context.close()


@pytest.mark.parametrize("locale", ["en-US", "es-MX"])
def test_a_phone_s_width_is_enough(open_page: OpenPage, client: ScriptedClient, locale: str) -> None:
    page = open_page(locale=locale, width=390)
    turn(page, client, "Hello", "A long answer. " * 20 + f"`{'code' * 20}`", seen="A long answer.")
    page.locator("#settings button").first.click()
    expect(page.locator("#system textarea")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_new_chat_is_a_link_to_an_empty_one(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    turn(page, client, "Hello", "Hi.")
    first = page.url
    page.get_by_role("link", name="New chat").click()
    expect(page.get_by_text("What can I do for you?")).to_be_visible()
    expect(page.locator(USER)).to_have_count(0)
    page.go_back()
    expect(page.locator(BOT)).to_have_text("Hi.")
    assert page.url == first


def test_a_script_in_a_reply_is_not_run(open_page: OpenPage, client: ScriptedClient) -> None:
    page = open_page()
    reply = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>safe'
    turn(page, client, "Hello", reply, seen="safe")
    assert page.evaluate("window.hacked") is None


def test_closing_the_page_stops_watching(open_page: OpenPage, client: ScriptedClient, served: Served) -> None:
    page = open_page()
    send(page, "Hello")
    answer = client.next()
    answer.say("Once")
    expect(page.locator(BOT)).to_have_text("Once")
    run = served.chats._saver.all_running()[-1]
    assert run._watchers == 1
    gone = threading.Event()
    watched = run._watched

    def watch(change: int) -> None:
        watched(change)
        if run._watchers == 0:
            gone.set()

    run._watched = watch  # type: ignore[method-assign]
    page.close()
    assert gone.wait(PATIENCE / 1000)
    assert not run.done
    answer.finish(" upon a time")
    assert run.wait(PATIENCE / 1000)


@pytest.mark.timeout(120)
def test_the_embedded_model_answers_for_real(open_page: OpenPage, tmp_path: Path) -> None:
    from assistant.clients.base import connect

    with serving(connect("local"), tmp_path) as served:
        page = open_page(url=served.url)
        expect(page.locator(".assistant-status")).to_contain_text("only for trying things out")
        open_settings(page)
        page.fill("#max_tokens input", "12")
        send(page, "Say hello.")
        expect(page.locator(BOT).first).to_have_text(re.compile(r"\w+"), timeout=60_000)
        usable(page)
