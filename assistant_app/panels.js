// The side bar, the attachments and the panels: what their buttons ask for, what the page is told to do, the keyboard.
// In the same function as page.js, which has `words`, `box` and `address`.

const LONG_TEXT = __LONG_TEXT__;
const MAX_FILE = __MAX_FILE__;
const ENDINGS = "__ENDINGS__";
const TOAST = "assistant-toast";

// -- asking the server: a hidden button is pressed, and its listener takes what is ready -----------------------
const ready = [];
const ask = (button, value) => {
  ready.push(value);
  document.getElementById(button)?.click();
};
let acted = 0;
const act = (command) => { acted += 1; ask("act", JSON.stringify(command)); };
assistantPage.take = () => ready.shift() ?? "";

// -- what is said for a moment ----------------------------------------------------------------------------------
// Kept over a page that is loaded meanwhile: after a deletion another one is.
const keep = (toast) => sessionStorage.setItem(TOAST, JSON.stringify(toast));
const hush = () => {
  sessionStorage.removeItem(TOAST);
  document.getElementById(TOAST)?.remove();
};
const say = (toast) => {
  hush();
  const left = toast.until - Date.now();
  if (!(left > 0)) return;
  keep(toast);
  const shown = document.createElement("div");
  shown.id = TOAST;
  shown.setAttribute("role", "status");
  const text = shown.appendChild(document.createElement("span"));
  text.textContent = toast.text;
  if (toast.details) {
    const details = text.appendChild(document.createElement("details"));
    details.appendChild(document.createElement("summary")).textContent = words.details;
    details.append(toast.details);
  }
  const button = (label, then) => {
    const made = shown.appendChild(document.createElement("button"));
    made.type = "button";
    made.textContent = label;
    made.addEventListener("click", () => { hush(); then?.(); });
  };
  if (toast.undo) button(words.undo, () => act({ do: "restore", ...toast.undo }));
  button(words.close);
  document.body.appendChild(shown);
  // Whoever reads the details closes it.
  const over = () => document.getElementById(TOAST) === shown && !shown.querySelector("details[open]");
  setTimeout(() => { if (over()) hush(); }, left);
};
const toast = (text, undo, details) => ({ text, undo, details, until: Date.now() + 10000 });

Object.assign(assistantPage, {
  opened() {
    const query = new URLSearchParams(location.search);
    try { say(JSON.parse(sessionStorage.getItem(TOAST)) || {}); } catch { hush(); }
    return [query.get("c") || "", String(new Date().getTimezoneOffset()), leftDraft().session || ""];
  },
  done(text) {
    const what = text ? JSON.parse(text) : {};
    if (what.do === "say") say(toast(what.text, null, what.details));
    if (what.do === "download") {
      download(what);
      if (what.note) say(toast(what.note));
    }
    if (what.do === "go") {
      if (what.text) keep(toast(what.text));
      location.href = what.to;
    }
    if (what.do === "deleted") {
      const shown = what.id === shownConversation();
      const next = toast(what.text, { id: what.id, shown });
      if (!shown) return say(next);
      keep(next);
      location.href = "?";
    }
  },
  // The list after a turn, once nobody has a menu of it open or writes a name in it, and nothing newer was drawn.
  async fresh(entries) {
    const before = acted;
    while (document.querySelector(".side-menu[open], .side-entry input")) {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    return [entries && before === acted ? entries : { __type__: "update" }];
  },
  reading(chips) {
    const shown = document.createElement("span");
    shown.className = "chip chip-reading";
    shown.textContent = words.reading;
    return [(chips || "") + shown.outerHTML];
  },
});

const download = ({ name, text, type }) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
};

// -- buttons in what the server drew ----------------------------------------------------------------------------
const actions = {
  rename: (button) => rename(button.closest(".side-entry"), button.dataset.id),
  delete: (button) => act({ do: "delete", id: button.dataset.id }),
  export: (button) => act({ do: "export", id: button.dataset.id, format: button.dataset.format }),
  import: (button) => pick(button),
  forget_all: (button) => {
    if (!confirm(button.dataset.confirm)) return;
    forgetDrafts();
    act({ do: "forget_all" });
  },
  detach: (button) => ask("detach", button.dataset.id),
  unpin: (button) => ask("unpin", button.dataset.id),
};

const rename = (entry, id) => {
  const link = entry.querySelector("a");
  const field = document.createElement("input");
  field.value = link.textContent;
  field.setAttribute("aria-label", words.title);
  link.replaceWith(field);
  field.select();
  let over = false;
  const end = (save) => {
    if (over) return;
    over = true;
    const title = field.value.trim();
    if (save && title) link.textContent = title;
    field.replaceWith(link);
    if (save && title) act({ do: "rename", id, title });
  };
  field.addEventListener("keydown", (event) => {
    if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    end(event.key === "Enter");
  });
  field.addEventListener("blur", () => end(true));
};

const pick = (button) => {
  const field = document.createElement("input");
  field.type = "file";
  field.accept = ".json,application/json";
  field.addEventListener("change", async () => {
    const file = field.files[0];
    if (!file) return;
    if (file.size > Number(button.dataset.limit)) return say(toast(button.dataset.tooLarge));
    // In JSON within JSON a text grows with each quote; so it is as long as the server expects.
    const packed = new Response(file.stream().pipeThrough(new CompressionStream("gzip")));
    const reader = new FileReader();
    reader.addEventListener("load", () => act({ do: "import", data: reader.result.split(",", 2)[1] }));
    reader.readAsDataURL(await packed.blob());
  });
  field.click();
};

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button[data-do]");
  if (button) actions[button.dataset.do]?.(button);
  // A menu closes with the next click anywhere, its own entries included.
  const summary = event.target.closest?.(".side-menu > summary");
  document.querySelectorAll(".side-menu[open]").forEach((menu) => {
    if (menu !== summary?.parentElement) menu.open = false;
  });
});

// Gradio's own way to send only the last of many inputs sends the first one's value twice.
let typing = 0;
document.addEventListener("input", (event) => {
  if (!event.target.closest?.("#search")) return;
  clearTimeout(typing);
  typing = setTimeout(() => act({ do: "find", search: event.target.value }), 200);
});

// -- files: dropped, pasted, or a pasted text that is too long for a message ------------------------------------
const input = () => document.querySelector("#attachments input[type=file]");
const attach = (files) => {
  const field = input();
  if (!field || !files.length) return;
  const held = new DataTransfer();
  [...files].forEach((file) => held.items.add(file));
  field.files = held.files;
  field.dispatchEvent(new Event("change", { bubbles: true }));
};
// For the picker alone: what is not taken is said by the server, in words, and the others go on.
const lookAtUpload = () => {
  const field = input();
  if (field && field.accept !== ENDINGS) field.accept = ENDINGS;
};
// Gradio says no to the whole upload, in English; here the others go on.
document.addEventListener("change", (event) => {
  if (event.target !== input()) return;
  const files = [...event.target.files];
  const large = files.filter((file) => file.size > MAX_FILE);
  if (!large.length) return;
  event.stopImmediatePropagation();
  say(toast(large.map((file) => words.tooLarge.replace("{name}", file.name)
    .replace("{size}", (file.size / 1e6).toFixed(1)).replace("{limit}", (MAX_FILE / 1e6).toFixed(1))).join("\n")));
  const rest = files.filter((file) => file.size <= MAX_FILE);
  event.target.value = "";
  attach(rest);
}, true);
document.addEventListener("paste", (event) => {
  if (!event.target.closest?.("#message")) return;
  const text = event.clipboardData?.getData("text/plain") || "";
  const files = [...(event.clipboardData?.files || [])];
  // A table comes as text and as a picture of it: the text is meant.
  if (!text && files.length) {
    event.preventDefault();
    event.stopPropagation();
    attach(files);
  } else if (text.length > LONG_TEXT) {
    event.preventDefault();
    event.stopPropagation();
    attach([new File([text], `${words.pasted}.txt`, { type: "text/plain" })]);
  }
}, true);
// Gradio shows nothing of files on their way.
const sendAway = window.fetch;
let uploads = 0;
const showUploads = (more) => {
  uploads += more;
  document.getElementById("uploading")?.remove();
  if (!uploads) return;
  const shown = document.createElement("span");
  shown.id = "uploading";
  shown.className = "chip chip-reading";
  shown.setAttribute("role", "status");
  shown.textContent = words.uploading;
  document.getElementById("attach")?.after(shown);
};
window.fetch = async (...given) => {
  if (!/\/gradio_api\/upload(\?|$)/.test(given[0]?.url ?? given[0])) return sendAway(...given);
  showUploads(1);
  try {
    return await sendAway(...given);
  } finally {
    showUploads(-1);
  }
};
// A message that is sent meanwhile would go without them.
const early = (event) => {
  if (!document.querySelector("#attachments .chip-reading")) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  say(toast(words.filesFirst));
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target === box()) early(event);
}, true);
document.addEventListener("click", (event) => {
  if (event.target.closest?.("#message .submit-button")) early(event);
}, true);
const carriesFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
const drag = (on) => document.documentElement.classList.toggle("assistant-drop", on);
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    drag(true);
  }, true);
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drag(false); }, true);
document.addEventListener("drop", (event) => {
  drag(false);
  if (!carriesFiles(event)) return;
  event.preventDefault();
  event.stopPropagation();
  attach(event.dataTransfer.files);
}, true);

// -- the side bar: on a phone it would cover all -----------------------------------------------------------------
const side = () => document.querySelector(".sidebar");
const toggleSide = () => side()?.querySelector(".toggle-button")?.click();
const lookAtSide = () => {
  const toggle = side()?.querySelector(".toggle-button");
  if (!toggle) return;
  if (toggle.getAttribute("aria-label") !== words.toggle) toggle.setAttribute("aria-label", words.toggle);
  if (document.documentElement.dataset.side) return;
  if (innerWidth < 769 && side().classList.contains("open")) toggle.click();
  document.documentElement.dataset.side = "ready";
};

// -- lists that are searched by typing: what stands in the field is to be replaced, not added to -----------------
document.addEventListener("click", ({ target }) => {
  // The click itself puts the cursor somewhere first. Who comes by the Tab key has it all selected by the browser.
  if (target.matches?.("#settings input[role=combobox]")) setTimeout(() => target.select(), 0);
});

// -- the keyboard -----------------------------------------------------------------------------------------------
// Before page.js, for which Escape means Stop.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing) return;
  const menu = document.querySelector(".side-menu[open]");
  const field = event.target.closest?.("#search")?.querySelector("input, textarea");
  if (!menu && !field) return;
  event.preventDefault();
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  } else if (field.value) {
    field.value = "";
    field.dispatchEvent(new Event("input", { bubbles: true }));
  } else {
    box()?.focus();
  }
}, true);
document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.shiftKey || !event.target.matches?.("#chat textarea")) return;
  const label = { Enter: words.submit, Escape: words.cancelEdit }[event.key];
  if (!label) return;
  event.preventDefault();
  document.querySelector(`#chat button[aria-label="${label}"]`)?.click();
  if (event.key === "Escape") box()?.focus();
}, true);
document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.altKey || event.shiftKey) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    if (!side()?.classList.contains("open")) toggleSide();
    // Seen a frame later, and only what is seen can have the focus.
    requestAnimationFrame(() => requestAnimationFrame(() => {
      const field = document.querySelector("#search input, #search textarea");
      field?.focus();
      field?.select();
    }));
  }
  if (event.key === "ArrowUp" && event.target === box() && !box().value) {
    const edits = document.querySelectorAll(`#chat button[aria-label="${words.edit}"]`);
    if (!edits.length) return;
    event.preventDefault();
    edits[edits.length - 1].click();
    requestAnimationFrame(() => document.querySelector("#chat textarea")?.focus());
  }
});
