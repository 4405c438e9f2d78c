// Questions to the person: a form or a confirmation, in the browser's own modal dialog, which keeps the focus.

import { el } from "./dom.js";

let number = 0;

// Ask. `fields` are {name, label, type, value, options, hint, required, suggestions}; answers an object of their
// values, or null when it was given up. `danger` has nothing confirmed by Enter alone.
export function ask({ title, text = "", fields = [], confirm = "OK", danger = false }) {
  number += 1;
  const id = `dialog-${number}`;
  const inputs = fields.map((field) => made(field, `${id}-${field.name}`));
  const cancel = el("button", { type: "button", text: "Cancel", on: { click: () => dialog.close() } });
  const submit = el("button", { type: "submit", class: danger ? "danger" : "primary", text: confirm });
  let answer = null;
  const form = el(
    "form",
    {
      on: {
        submit: (event) => {
          event.preventDefault();
          answer = Object.fromEntries(fields.map((field, at) => [field.name, valueOf(inputs[at].input)]));
          dialog.close();
        },
      },
    },
    el("h2", { id: `${id}-title`, text: title }),
    text ? el("p", { id: `${id}-text`, text }) : null,
    inputs.map((one) => one.node),
    el("div", { class: "buttons" }, cancel, submit),
  );
  const dialog = el(
    "dialog",
    { class: "ask", "aria-labelledby": `${id}-title`, "aria-describedby": text ? `${id}-text` : null },
    form,
  );
  return new Promise((resolve) => {
    const before = document.activeElement;
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true });
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    (danger ? cancel : (inputs[0]?.input ?? submit)).focus();
  });
}

function valueOf(input) {
  return input.type === "checkbox" ? input.checked : input.value.trim();
}

function made(field, id) {
  const input = field.options
    ? el("select", { id }, field.options.map(([value, label]) => el("option", { value, text: label })))
    : el("input", {
        id,
        type: field.type ?? "text",
        required: field.required,
        pattern: field.pattern,
        placeholder: field.placeholder,
        autocomplete: "off",
        spellcheck: "false",
        "aria-describedby": field.hint ? `${id}-hint` : null,
        list: field.suggestions ? `${id}-list` : null,
      });
  if (field.type === "checkbox") input.checked = Boolean(field.value);
  else if (field.value !== undefined) input.value = field.value;
  const label = el("label", { for: id, text: field.label });
  const hint = field.hint ? el("p", { class: "hint", id: `${id}-hint`, text: field.hint }) : null;
  const list = field.suggestions
    ? el("datalist", { id: `${id}-list` }, field.suggestions.map((one) => el("option", { value: one })))
    : null;
  const parts = field.type === "checkbox" ? [input, label] : [label, input];
  const kind = field.type === "checkbox" ? "field check" : "field";
  return { node: el("div", { class: kind }, parts, hint, list), input };
}

// Something to read; closes with Escape or its button.
export function tell(title, ...content) {
  number += 1;
  const id = `dialog-${number}-title`;
  const close = el("button", { type: "button", class: "primary", text: "Close", on: { click: () => dialog.close() } });
  const dialog = el(
    "dialog",
    { class: "ask wide", "aria-labelledby": id },
    el("h2", { id, text: title }),
    content,
    el("div", { class: "buttons" }, close),
  );
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true });
  });
  document.body.append(dialog);
  dialog.showModal();
  close.focus();
}
