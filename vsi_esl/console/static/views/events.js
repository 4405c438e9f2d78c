// The events as they come, the newest first, with a filter.

import { Keyed, el, setHidden, setText } from "../dom.js";
import { filter, summary } from "../eventlog.js";
import { clockTime, count, shortId } from "../format.js";
import { copy } from "../toasts.js";

const SHOWN = 200;
// Lines made in one frame: a person who types is not to wait for more.
const SLICE = 50;
const FIELDS = [
  ["type", "Type", "leg.*, playback.*"],
  ["leg", "Leg", "id or a part of it"],
  ["room", "Room", "id or a part of it"],
  ["app", "Application", "app_id or a part of it"],
];

export class EventsView {
  constructor(app) {
    this.app = app;
    this.title = "Events";
    this.paused = null;
    this.limit = SHOWN;
    this.seen = -1;
    this.inputs = Object.fromEntries(
      FIELDS.map(([name, , placeholder]) => [
        name,
        el("input", {
          type: "text",
          id: `events-${name}`,
          placeholder,
          autocomplete: "off",
          spellcheck: "false",
          on: { input: () => this.again() },
        }),
      ]),
    );
    this.pauseButton = el("button", { type: "button", "aria-pressed": "false", text: "Pause", "aria-keyshortcuts": "s", on: { click: () => this.pause() } });
    const clear = el("button", { type: "button", text: "Clear", on: { click: () => this.clear() } });
    this.found = el("span", { class: "quiet" });
    this.list = el("ol", { class: "events", "aria-label": "Events, the newest first" });
    this.note = el("p", { class: "empty" });
    this.more = el("button", { type: "button", hidden: true, on: { click: () => this.showMore() } });
    this.rows = new Keyed(this.list, (event) => this.row(event));
    this.node = el(
      "section",
      { "aria-label": "Events" },
      el(
        "div",
        { class: "filters" },
        FIELDS.map(([name, label]) => [el("label", { for: `events-${name}`, text: label }), this.inputs[name]]),
        this.pauseButton,
        clear,
        this.found,
      ),
      this.list,
      this.note,
      this.more,
    );
  }

  get tab() {
    return null;
  }

  again() {
    this.seen = -1;
    this.app.ask();
  }

  // Show the events of one leg or room only.
  only(kind, id) {
    for (const input of Object.values(this.inputs)) input.value = "";
    this.inputs[kind].value = id;
    this.again();
  }

  pause() {
    this.paused = this.paused === null ? this.app.log.events.slice() : null;
    this.pauseButton.setAttribute("aria-pressed", String(this.paused !== null));
    setText(this.pauseButton, this.paused === null ? "Pause" : "Go on");
    this.pausedAt = this.app.log.total;
    this.again();
  }

  clear() {
    this.app.log.clear();
    if (this.paused !== null) this.paused = [];
    this.again();
  }

  showMore() {
    this.limit += SHOWN;
    this.again();
  }

  paint() {
    const { log } = this.app;
    if (this.paused !== null) setText(this.found, `Paused. ${count(log.total - this.pausedAt, "event")} since.`);
    if (this.seen === log.version || (this.paused !== null && this.seen !== -1)) return;
    this.seen = log.version;
    const values = Object.fromEntries(Object.entries(this.inputs).map(([name, input]) => [name, input.value.trim()]));
    const passes = filter(values);
    const source = this.paused === null ? log : Object.assign(Object.create(log), { events: this.paused });
    const { found, matching } = source.newest(passes, this.limit);
    const byId = new Map(found.map((event) => [event.event_id, event]));
    let room = SLICE;
    const keys = [...byId.keys()].filter((id) => this.rows.rows.has(id) || (room -= 1) >= 0);
    this.rows.show(keys, (id) => byId.get(id), new Set());
    if (keys.length < found.length) this.again(); // the rest in the next frame
    const some = Object.values(values).some(Boolean);
    if (this.paused === null) setText(this.found, some ? `${matching} of ${source.events.length}` : "");
    setHidden(this.note, found.length > 0);
    setText(this.note, source.events.length ? "No event passes the filter." : "No events yet. They are shown from now on.");
    setHidden(this.more, matching <= found.length);
    setText(this.more, `Show ${Math.min(SHOWN, matching - found.length)} older`);
  }

  tick() {}

  row(event) {
    const lost = event.type === "events_dropped";
    const about = lost ? [] : this.about(event);
    const body = el("div", { class: "event-body" });
    const details = el(
      "details",
      {},
      el(
        "summary",
        {},
        el("time", { class: "mono", datetime: event.timestamp, text: clockTime(event.timestamp) }),
        el("span", { class: `type ${event.type.split(".")[0]}`, text: lost ? "events lost" : event.type }),
        el("span", { class: "about" }, about),
        el("span", { class: "summary", text: lost ? `${event.count} or more` : summary(event) }),
      ),
      body,
    );
    details.addEventListener("toggle", () => {
      if (!details.open || body.firstChild) return;
      const text = JSON.stringify(event, null, 2);
      body.append(
        el("pre", { class: "mono", text, tabindex: "0" }),
        el("button", { type: "button", text: "Copy", on: { click: () => copy(text) } }),
      );
    });
    return { node: el("li", {}, details), update: () => {} };
  }

  about(event) {
    return [["leg", event.leg_id], ["room", event.room_id]]
      .filter(([, id]) => id)
      .map(([kind, id]) => el("span", { class: "mono", text: kind === "leg" ? shortId(id) : `room ${shortId(id)}` }));
  }
}
