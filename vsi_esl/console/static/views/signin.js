// Asks for the token.

import { el, setHidden, setText } from "../dom.js";

export class SignIn {
  // `use(token)` is called with what was entered.
  constructor(use) {
    this.input = el("input", {
      id: "token",
      type: "password",
      required: true,
      autocomplete: "current-password",
      spellcheck: "false",
      "aria-describedby": "token-hint token-error",
    });
    this.error = el("p", { id: "token-error", class: "error-text", role: "alert", hidden: true });
    const form = el(
      "form",
      { class: "signin" },
      el("h2", { text: "Sign in" }),
      el("label", { for: "token", text: "Token" }),
      this.input,
      el("p", { class: "hint", id: "token-hint", text: "One that vsi-esl token made. It is kept for this tab only. What you may see and do here is what it may." }),
      this.error,
      el("button", { type: "submit", class: "primary", text: "Sign in" }),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const token = this.input.value.trim();
      this.input.value = "";
      use(token);
    });
    this.node = form;
  }

  show(reason) {
    setText(this.error, reason);
    setHidden(this.error, !reason);
  }

  focus() {
    this.input.focus();
  }
}
