// The service, its switch, and the webhooks.

import { el, setHidden, setText } from "../dom.js";
import { count, seconds } from "../format.js";

export class SystemView {
  constructor(app) {
    this.app = app;
    this.title = "System";
    this.webhooksMark = "";
    this.switches = el("div", { class: "cards" });
    this.figures = el("dl", { class: "figures" });
    this.figuresNote = el("p", { class: "quiet" });
    this.webhookFigures = el("dl", { class: "figures" });
    this.webhooksNote = el("p", { class: "quiet" });
    this.webhooks = el("div");
    this.refresh = el("button", { type: "button", text: "Look again", on: { click: () => app.look() } });
    this.node = el(
      "section",
      { class: "system", "aria-label": "System" },
      el("div", { class: "filters" }, el("h2", { text: "Switch" }), this.refresh),
      this.switches,
      el("h2", { text: "Service" }),
      this.figures,
      this.figuresNote,
      el("h2", { text: "Webhooks" }),
      this.webhookFigures,
      this.webhooksNote,
      this.webhooks,
    );
  }

  get tab() {
    return null;
  }

  paint() {
    const { readiness, metrics, figuresError } = this.app.health;
    this.paintSwitches(readiness);
    setText(this.figuresNote, figuresError);
    setHidden(this.figuresNote, !figuresError);
    if (metrics.known) {
      const figure = (name) => metrics.value(name);
      const perSecond = (name) => {
        const rate = metrics.rate(name);
        return rate === null ? "…" : `${rate.toFixed(rate < 10 ? 1 : 0)} /s`;
      };
      const late = (name) => {
        const bound = metrics.quantile(name, 0.99);
        return bound === null ? "none" : bound === Infinity ? "more than can be told" : `up to ${seconds(bound)}`;
      };
      show(this.figures, [
        ["Events of the switch", perSecond("vsi_esl_switch_events_total")],
        ["VSI events", perSecond("vsi_esl_events_published_total")],
        ["Commands", perSecond("vsi_esl_commands_total")],
        ["Events come late (99 %)", late("vsi_esl_switch_event_lag_seconds")],
        ["The loop comes late (99 %)", late("vsi_esl_loop_lag_seconds")],
        ["VSI clients", figure("vsi_esl_vsi_clients")],
        ["Events lost to clients", figure("voiceblender_vsi_events_dropped_total")],
        ["Work that waits", figure("vsi_esl_work_queued")],
        ["Commands not answered yet", figure("vsi_esl_switch_commands_pending")],
        ["Connected anew", figure("vsi_esl_switch_reconnects_total")],
        ["The switch stood still", figure("vsi_esl_switch_stalls_total")],
        ["Errors survived", figure("voiceblender_recovered_panics_total")],
      ]);
      show(this.webhookFigures, [
        ["Wait", figure("vsi_esl_webhook_pending")],
        ["Oldest", figure("vsi_esl_webhook_pending") ? seconds(figure("vsi_esl_webhook_oldest_seconds")) : "none"],
        ["Given up since the start", figure("vsi_esl_webhook_dead_letters_total")],
        ["Delivered", perSecond("voiceblender_webhook_deliveries_total")],
        ["Attempts that failed", figure("vsi_esl_webhook_failed_attempts_total")],
      ]);
    } else {
      this.figures.replaceChildren();
      this.webhookFigures.replaceChildren();
    }
    this.paintWebhooks();
  }

  paintSwitches(readiness) {
    if (readiness === null) return;
    const switches = readiness.switches ?? { [""]: readiness.switch };
    const cards = Object.entries(switches).map(([name, one]) => [
      name,
      one.ready ? "Ready" : "Not ready",
      one.error || "",
      [one.version, one.draining ? "drains: takes no new calls" : "", one.legs_heard_by ? `legs are heard by ${one.legs_heard_by}` : "", one.missing_modules ? `missing: ${one.missing_modules.join(", ")}` : ""].filter(Boolean).join("; "),
    ]);
    const { storage } = readiness;
    cards.push(["Storage", storage.ready ? "Ready" : "Not ready", storage.error, "state, history and webhooks"]);
    const mark = JSON.stringify(cards);
    if (mark === this.cardsMark) return;
    this.cardsMark = mark;
    this.switches.replaceChildren(
      ...cards.map(([name, state, error, about]) =>
        el(
          "div",
          { class: state === "Ready" ? "card" : "card bad" },
          el("strong", { text: name || "FreeSWITCH" }),
          el("span", { class: `pill ${state === "Ready" ? "connected" : "bad"}`, text: state }),
          el("p", { class: error ? "" : "quiet", text: error || about }),
        ),
      ),
    );
  }

  paintWebhooks() {
    const { webhooks, webhooksError } = this.app.health;
    const mark = JSON.stringify([webhooks, webhooksError]);
    if (mark === this.webhooksMark) return;
    this.webhooksMark = mark;
    setText(this.webhooksNote, webhooksError);
    setHidden(this.webhooksNote, !webhooksError);
    this.webhooks.replaceChildren();
    if (webhooks === null) return;
    if (!webhooks.in_file) {
      this.webhooks.append(el("p", { class: "quiet", text: "They are in memory only (webhooks.mode), and cannot be listed." }));
      return;
    }
    for (const [kind, title] of [["dead", "Given up"], ["pending", "Wait for delivery"]]) {
      const total = webhooks[`${kind}_total`];
      const rows = webhooks[kind];
      this.webhooks.append(el("h3", { text: `${title}: ${total}` }));
      if (rows.length) this.webhooks.append(listing(title, rows));
      if (total > rows.length) this.webhooks.append(el("p", { class: "quiet", text: `The oldest ${rows.length} are shown; vsi-esl webhooks list shows more.` }));
    }
    if (webhooks.dead_total) {
      this.webhooks.append(el("p", { class: "quiet" }, "Have them delivered after all: ", el("code", { text: "vsi-esl webhooks replay ID" })));
    }
  }

  tick() {}
}

function show(list, pairs) {
  if (list.childElementCount !== pairs.length) {
    list.replaceChildren(...pairs.map(() => el("div", {}, el("dt"), el("dd", { class: "number" }))));
  }
  pairs.forEach(([name, value], at) => {
    const { firstChild, lastChild } = list.children[at];
    setText(firstChild, name);
    setText(lastChild, typeof value === "number" ? value.toLocaleString("en") : value);
  });
}

function listing(title, rows) {
  const heads = ["Id", "Published", "Event", "For", "Receiver", "Attempts", "Last error"];
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": title },
    el(
      "table",
      { class: "simple" },
      el("thead", {}, el("tr", {}, heads.map((text) => el("th", { scope: "col", text })))),
      el(
        "tbody",
        {},
        rows.map((row) =>
          el(
            "tr",
            {},
            [row.id, new Date(row.at * 1000).toLocaleString(), row.type, row.key, row.endpoint || "global", row.attempts, row.error].map((value) =>
              el("td", { text: String(value) }),
            ),
          ),
        ),
      ),
    ),
  );
}

// A line for the head of the page: what is wrong, if something is.
export function troubles(health) {
  const { readiness, metrics, readinessError } = health;
  const found = [];
  if (readinessError) found.push(["bad", "Service not reached"]);
  else if (readiness !== null) {
    const switches = readiness.switches ?? { switch: readiness.switch };
    for (const [name, one] of Object.entries(switches)) {
      const label = name === "switch" ? "Switch" : `Switch ${name}`;
      found.push(one.ready ? ["good", `${label} ready`] : ["bad", `${label} away`]);
      if (one.draining) found.push(["warn", `${label} drains`]);
    }
    if (!readiness.storage.ready) found.push(["bad", "Disk takes nothing"]);
    if (readiness.status === "shutting down") found.push(["warn", "Shutting down"]);
  }
  const waiting = metrics.value("vsi_esl_webhook_pending");
  const dead = metrics.value("vsi_esl_webhook_dead_letters_total");
  if (dead) found.push(["warn", `${count(dead, "webhook")} given up`]);
  else if (waiting > 100) found.push(["warn", `${count(waiting, "webhook")} wait`]);
  return found;
}

