// What came of an action: said once, to eyes and to screen readers, and gone after a while.

import { el } from "./dom.js";

const STAYS_MS = 6000;
const ERROR_STAYS_MS = 15_000;
const MOST = 4;

export function toast(text, isError = false) {
  const place = document.getElementById("toasts");
  const close = el("button", { type: "button", class: "plain", "aria-label": "Dismiss", text: "×" });
  const node = el("div", { class: isError ? "toast error" : "toast" }, el("span", { text }), close);
  close.addEventListener("click", () => node.remove());
  place.append(node);
  while (place.children.length > MOST) place.firstChild.remove();
  setTimeout(() => node.remove(), isError ? ERROR_STAYS_MS : STAYS_MS);
}

const CODES = {
  400: "Not accepted",
  401: "Not signed in",
  403: "Not allowed",
  404: "Not found",
  409: "Not possible now",
  429: "Too many requests",
  500: "Failed",
  501: "Not supported here",
  503: "Not available now",
};

// An error of the service in words: what kind it is, and what it says.
export function words(error) {
  return error.code ? `${CODES[error.code] ?? `Error ${error.code}`}: ${error.message}` : error.message;
}

// Copy a text. Without a secure origin browsers have no clipboard for pages; selecting it is left then.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const box = el("textarea", { class: "skip", text });
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    if (!done) {
      toast(`Could not copy: ${text}`, true);
      return;
    }
  }
  toast("Copied.");
}
