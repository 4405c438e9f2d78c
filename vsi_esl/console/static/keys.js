// Keys. Those of one letter can be switched off, since whoever speaks to the computer types them unawares
// (WCAG 2.1.4); they never count while something is being written.

import { choice, choose } from "./access.js";
import { tell } from "./dialogs.js";
import { el } from "./dom.js";

const SHORTCUTS = [
  ["1 2 3 4", "Legs, rooms, events, system"],
  ["/", "Find"],
  ["↑ ↓", "From row to row; Home, End and Page keys too"],
  ["Enter", "Show the details of a row"],
  ["Escape", "Close the details"],
  ["x", "Mark the row, for what is done with several"],
  ["a", "Answer"],
  ["m", "Mute, unmute"],
  ["d", "Deafen, let hear"],
  ["h", "Hold, resume"],
  ["r", "Move to a room"],
  ["p", "Play"],
  ["l", "Listen in, stop listening"],
  ["Delete", "Hang up (asks first)"],
  ["s", "Stop and go on with the events"],
  ["?", "This list"],
];

function singleKeys() {
  return choice("keys", "on") === "on";
}

export function help() {
  const box = el("input", { type: "checkbox", id: "single-keys", on: { change: () => choose("keys", box.checked ? "on" : "off") } });
  box.checked = singleKeys();
  tell(
    "Keys",
    el("dl", { class: "keys" }, SHORTCUTS.flatMap(([key, text]) => [el("dt", {}, el("kbd", { text: key })), el("dd", { text })])),
    el("div", { class: "field check" }, box, el("label", { for: "single-keys", text: "Keys of one letter or figure are on" })),
  );
}

// Call `handlers[key]()` for keys that are pressed outside of dialogs and fields.
export function listenToKeys(handlers) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    const writing = event.target.matches("input:not([type=checkbox]):not([type=range]), textarea, select");
    if (writing && event.key !== "Escape") return;
    if (event.key.length === 1 && event.key !== "?" && !singleKeys()) return;
    const handler = handlers[event.key];
    if (handler === undefined) return;
    if (handler() !== false) event.preventDefault();
  });
}
