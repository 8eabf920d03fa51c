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

  const assistantPage = window.assistantPage = {
    // A turn begins: the conversation is worth an address now, and what was said about the last turn goes.
    send(id, intent) {
      if (id) address((query) => query.set("c", id));
      return [intent, "", { __type__: "update", visible: false }, intent === "send" ? "" : { __type__: "update" }];
    },
    // The address named a conversation that is not there.
    forgetOther(id) {
      address((query) => { if (query.has("c") && query.get("c") !== id) query.delete("c"); });
      document.documentElement.dataset.loaded = id;
    },
    // Until the text box is free again: freeing it is the last thing that Gradio does at the end of a turn.
    async free() {
      for (let tries = 0; tries < 100 && (!box() || box().disabled); tries++) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return [];
    },
    // A text that was not sent comes back, unless something else was typed meanwhile.
    async restore(kept, typed) {
      if (!kept) return [typed, kept];
      await this.free();
      return [typed || kept, ""];
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

  let locked = false;
  const look = () => {
    document.querySelectorAll("button.submit-button").forEach((each) => name(each, words.send));
    document.querySelectorAll("button.stop-button").forEach((each) => name(each, words.stop));
    lookAtSide();
    lookAtUpload();
    const area = box();
    if (!area) return;
    if (!area.placeholder) area.placeholder = words.placeholder;
    const lost = !document.activeElement || document.activeElement === document.body;
    if (locked && !area.disabled && lost) area.focus({ preventScroll: true });
    locked = area.disabled;
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
