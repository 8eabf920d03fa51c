// What Gradio's chat leaves out: Escape stops, focus and placeholder come back after a turn, the icon buttons have
// names, the address names the conversation, and a text that was not sent comes back into the text box.
(() => {
  const labels = __LABELS__;
  const words = labels[(navigator.language || "en").split("-")[0]] || labels.en;
  const box = () => document.querySelector("#message textarea");

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
    // A turn begins: the conversation is worth an address now, and what was said about the last turn goes.
    begin(id) {
      if (id) address((query) => query.set("c", id));
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
    lock: () => [update(locked)],
    // The server is gone, or answers no more: the page can be used again, and says what to do.
    lost: () => [update({ interactive: true, submit_btn: true, stop_btn: false }), words.lost],
    // The address named a conversation that is not there.
    loaded(id) {
      address((query) => { if (query.has("c") && query.get("c") !== id) query.delete("c"); });
      document.documentElement.dataset.loaded = id;
    },
  };

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
    document.querySelector("#message button.stop-button, button.stop-button")?.click();
  });

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
    lookAtSide();
    lookAtUpload();
    const area = box();
    if (!area) return;
    if (!area.placeholder) area.placeholder = words.placeholder;
    const lost = !document.activeElement || document.activeElement === document.body;
    if (wasLocked && !area.disabled && lost) area.focus({ preventScroll: true });
    wasLocked = area.disabled;
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
