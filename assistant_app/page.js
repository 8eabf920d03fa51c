// What Gradio's chat leaves out: Escape stops, focus and placeholder come back after a turn, the icon buttons have
// names, the address names the conversation, and a text that was not sent comes back into the text box.
(() => {
  const labels = __LABELS__;
  const words = labels[(navigator.language || "en").split("-")[0]] || labels.en;
  const box = () => document.querySelector("#message textarea");
  const works = () => !box() || box().disabled || document.querySelector("#message button.stop-button") !== null;

  const address = (change) => {
    const url = new URL(location.href);
    change(url.searchParams);
    if (url.href !== location.href) history.replaceState(history.state, "", url);
  };

  const update = (values) => ({ __type__: "update", ...values });
  const locked = { interactive: false, submit_btn: false, stop_btn: true };
  const textOf = (content) =>
    typeof content === "string" ? content : (content || []).map((part) => part.text || "").join("");
  const said = (text, metadata = null) =>
    ({ role: "user", content: [{ type: "text", text }], metadata, options: null });

  const assistantPage = window.assistantPage = {
    // A turn begins: the conversation is worth an address now, and what was said about the last turn goes. Whoever had
    // scrolled up sees what they wrote.
    begin(id) {
      this.named(id);
      const log = document.querySelector("#chat [role=log]");
      requestAnimationFrame(() => log?.scrollTo(0, log.scrollHeight));
      return [update(locked), "", update({ visible: false })];
    },
    // The text stands in the chat before the server has heard of it; the server's first answer names its turn.
    send(text, chat, id) {
      const [, notice, goOn] = this.begin(id);
      return [[...(chat || []), said(text)], update({ ...locked, value: "" }), text, "send", notice, goOn, ""];
    },
    // The last message again; its id says which turn is meant.
    retry(chat, id) {
      const [box, notice, goOn] = this.begin(id);
      const messages = chat || [];
      let at = messages.length - 1;
      while (at > 0 && messages[at].role !== "user") at -= 1;
      const text = textOf(messages[at]?.content);
      const shown = [...messages.slice(0, at), said(text, messages[at]?.metadata)];
      return [shown, box, text, "retry", notice, goOn, update()];
    },
    named(id) {
      if (id) address((query) => query.set("c", id));
      return [];
    },
    lock: () => [update(locked)],
    // What should not happen: the page can be used again, and says what to do.
    failed: () => [update({ interactive: true, submit_btn: true, stop_btn: false }), words.failed],
    // The address named a conversation that is not there.
    loaded(id) {
      address((query) => { if (query.has("c") && query.get("c") !== id) query.delete("c"); });
      document.documentElement.dataset.loaded = id;
      restoreDraft();
    },
  };

  // What was typed outlives a reload of this address: Gradio does one by itself when a lost server is back.
  const DRAFT = "assistant-draft";
  addEventListener("pagehide", () => {
    sessionStorage.setItem(DRAFT, JSON.stringify({ at: location.href, text: box()?.value || "" }));
  });
  const restoreDraft = () => {
    const draft = JSON.parse(sessionStorage.getItem(DRAFT) || "{}");
    const area = box();
    if (!draft.text || draft.at !== location.href || !area || area.value) return;
    area.value = draft.text;
    area.dispatchEvent(new Event("input", { bubbles: true }));
  };

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
    document.querySelector("#message button.stop-button, button.stop-button")?.click();
  });

  // While a reply is drawn Gradio disables the chat's buttons, and a click is lost; the second half of a double click
  // would ask again. So a click that comes too early waits, and the second one does not count.
  const begins = [words.retry, words.submit];
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("#chat button");
    const label = button?.getAttribute("aria-label");
    const asks = begins.includes(label) || button?.matches(".option, .example");
    if (!event.isTrusted || !(asks || label === words.undoTurn)) return;
    const again = asks && event.detail > 1;
    if (!again && !works()) return;
    event.stopImmediatePropagation();
    event.preventDefault();
    if (again) return;
    const until = Date.now() + 60000;
    while (works() && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 50));
    if (button.isConnected && !works()) button.click();
  }, true);

  document.addEventListener("click", (event) => {
    if (!event.target.closest?.('#chat a[href$="#earlier"]')) return;
    event.preventDefault();
    document.getElementById("earlier")?.click();
  });

  __PANELS__

  let wasLocked = false;
  const look = () => {
    document.querySelectorAll("button.submit-button").forEach((each) => name(each, words.send));
    document.querySelectorAll("button.stop-button").forEach((each) => name(each, words.stop));
    translate();
    lookAtSide();
    lookAtUpload();
    const area = box();
    if (!area) return;
    if (!area.placeholder) area.placeholder = words.placeholder;
    const lost = !document.activeElement || document.activeElement === document.body;
    if (wasLocked && !area.disabled && lost) area.focus({ preventScroll: true });
    wasLocked = area.disabled;
  };
  // What Gradio says in English alone.
  const LOST = "Connection to the server was lost. Attempting reconnection...";
  const translate = () => {
    document.querySelector("#chat [role=log]")?.setAttribute("aria-label", words.chat);
    document.querySelectorAll("#chat .example[aria-label]").forEach((each) => each.removeAttribute("aria-label"));
    document.querySelectorAll("#chat .scroll-down-button-container button").forEach((each) => name(each, words.down));
    document.querySelectorAll(".toast-body *").forEach((each) => {
      if (!each.childElementCount && each.textContent.trim() === LOST) each.textContent = words.lost;
    });
  };
  const name = (button, label) => {
    if (button.getAttribute("aria-label") === label) return;
    button.setAttribute("aria-label", label);
    button.title = label;
  };
  let due = 0;
  new MutationObserver(() => {
    if (!due) due = requestAnimationFrame(() => { due = 0; look(); });
  }).observe(document.documentElement, {
    subtree: true, childList: true, attributes: true, attributeFilter: ["disabled", "class", "placeholder"],
  });
})();
