// What Gradio's chat leaves out: a turn is drawn before the server has heard of it, the address names the conversation,
// what was typed or sent in vain outlives a reload, Escape stops, focus and placeholder come back after a turn, clicks
// that come too early wait, the chosen colours stay, and what Gradio says in English alone is in the reader's language.
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
  const shownConversation = () => new URLSearchParams(location.search).get("c") || "";

  // Gradio keeps the choice of colours in the address alone, where the next link would lose it.
  const COLOURS = "assistant-colours";
  const colours = localStorage.getItem(COLOURS);
  if (colours !== null) address((query) => colours ? query.set("__theme", colours) : query.delete("__theme"));
  // By now Gradio has looked there.
  if (colours) document.body.classList.toggle("dark", colours === "dark");
  document.addEventListener("click", (event) => {
    const chosen = event.target.closest?.(".theme-button");
    const names = ["light", "dark", ""];
    if (chosen) localStorage.setItem(COLOURS, names[[...chosen.parentElement.children].indexOf(chosen)] ?? "");
  }, true);

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
      asked = { text, after: lastTurn(chat) };
      return [[...(chat || []), said(text)], update({ ...locked, value: "" }), text, "send", notice, goOn];
    },
    // The last message again; its id says which turn is meant.
    retry(chat, id) {
      const [box, notice, goOn] = this.begin(id);
      const messages = chat || [];
      let at = messages.length - 1;
      while (at > 0 && messages[at].role !== "user") at -= 1;
      const text = textOf(messages[at]?.content);
      const shown = [...messages.slice(0, at), said(text, messages[at]?.metadata)];
      return [shown, box, text, "retry", notice, goOn];
    },
    named(id) {
      if (id) address((query) => query.set("c", id));
      return [];
    },
    ended(id) {
      asked = {};
      return this.named(id);
    },
    lock: () => [update(locked)],
    // What should not happen: the page can be used again, and says what to do.
    failed: () => [update({ interactive: true, submit_btn: true, stop_btn: false }), words.failed],
    loaded(id, chat) {
      restoreDraft(chat);
      // The address named a conversation that is not there. A temporary chat has none yet.
      address((query) => { if (![null, id, "__TEMPORARY__"].includes(query.get("c"))) query.delete("c"); });
      document.documentElement.dataset.loaded = id;
    },
  };

  // What was typed and attached waits in its conversation, over a reload (Gradio does one by itself when a lost server is
  // back) and a look at others. So does what was sent and did not become a turn: `asked`, the text and the turn which it
  // was to follow. Of what is attached the server is told in which `session` it waits.
  const DRAFT = "assistant-draft-";
  let asked = {};
  const lastTurn = (chat) => (chat || []).findLast((each) => each.role === "user")?.metadata?.id ?? null;
  const draftKey = () => DRAFT + shownConversation();
  const leftDraft = () => JSON.parse(sessionStorage.getItem(draftKey()) || "{}");
  const joined = (...texts) => texts.filter(Boolean).join("\n");
  let forgetting = false;
  addEventListener("pagehide", () => {
    if (forgetting) return;
    // What the last page left, where this one has not come to restore it.
    const left = "loaded" in document.documentElement.dataset ? {} : leftDraft();
    const draft = {
      text: joined(left.text, box()?.value),
      asked: asked.text ? asked : left.asked,
      session: document.querySelector("#chips .chips")?.dataset.session || left.session,
    };
    sessionStorage.setItem(draftKey(), JSON.stringify(draft));
  });
  // The next one at this browser may be somebody else.
  const forgetDrafts = () => {
    forgetting = true;
    Object.keys(sessionStorage).filter((key) => key.startsWith(DRAFT)).forEach((key) => sessionStorage.removeItem(key));
  };
  document.addEventListener("click", (event) => { if (event.target.closest?.('a[href="logout"]')) forgetDrafts(); });
  const restoreDraft = (chat) => {
    const draft = leftDraft();
    sessionStorage.removeItem(draftKey());
    const lost = draft.asked?.text && draft.asked.after === lastTurn(chat) ? draft.asked.text : "";
    const area = box();
    if (!area || !(draft.text || lost)) return;
    area.value = joined(draft.text || lost, area.value);
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
  const ENGLISH = [
    [/^Connection to the server was lost\. Attempting reconnection\.\.\.$/, words.lost],
    // An upload that was refused.
    [/^HTTP 429: .* for you .* (\d+) h/s, words.uploadLimit],
    [/^HTTP 429: .* for everybody .* (\d+) h/s, words.uploadLimitOfAll],
    [/^HTTP 413: .* (\d+) MB/s, words.uploadTooLarge],
    [/^HTTP \d+: /, words.uploadFailed],
  ];
  const translate = () => {
    if (document.title === labels.en.app) document.title = words.app;
    const each = (selector, change) => document.querySelectorAll(selector).forEach(change);
    const label = (selector, text) => each(selector, (part) => {
      if (part.getAttribute("aria-label") !== text) part.setAttribute("aria-label", text);
    });
    label("#chat [role=log]", words.chat);
    each("#chat [data-testid=user], #chat [data-testid=bot]", (part) => part.setAttribute("role", "group"));
    label("#chat [data-testid=user]", words.yours);
    label("#chat [data-testid=bot]", words.answer);
    // Within buttons and cards that have a name.
    each("#chat .example[aria-label], #chat button svg[aria-label]", (part) => part.removeAttribute("aria-label"));
    each("#chat .scroll-down-button-container button", (part) => name(part, words.down));
    each("#chat .copy_code_button", (part) => name(part, words.copyCode));
    label("#memory-limit input", words.limit);
    each("#memory-limit .reset-button", (part) => name(part, words.reset));
    label("footer", words.footer);
    each(".api-docs h2 + button", (part) => name(part, words.close));
    each(".theme-button button", (part, at) => {
      if (part.textContent !== words.colours[at]) part.textContent = words.colours[at];
    });
    each(".toast-body *", (part) => {
      const text = part.textContent.trim();
      const known = !part.childElementCount && ENGLISH.find(([said]) => said.test(text));
      if (known) part.textContent = known[1].replace("{number}", known[0].exec(text)[1]);
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
