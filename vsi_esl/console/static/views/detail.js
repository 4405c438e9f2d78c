// One leg or room: what is known of it, what can be done with it, and what has just happened to it.
//
// Each part is made anew only when what it shows has changed (its `mark`), so that a name can be read and copied
// and a button pressed while events come.

import { el, keepingFocus, setHidden, setText } from "../dom.js";
import { filter, summary } from "../eventlog.js";
import { called, clockTime, duration, isOutbound, peer, shortId, stateName, typeName } from "../format.js";
import { unheard } from "../model.js";
import { copy } from "../toasts.js";
import { ofLeg } from "./badges.js";

const EVENTS = 12;
const MATRIX_LEGS = 12;
const MEMBERS = 60;

class Part {
  constructor(label) {
    this.node = el("section", { "aria-label": label, hidden: true });
    this.mark = null;
  }

  show(mark, make) {
    const text = JSON.stringify(mark);
    if (text === this.mark) return;
    this.mark = text;
    keepingFocus(this.node, () => this.node.replaceChildren(...make().flat().filter(Boolean)));
    setHidden(this.node, this.node.childElementCount === 0);
  }
}

export class Detail {
  constructor(app, node) {
    this.app = app;
    this.node = node;
    this.shown = "";
    this.seen = -1;
  }

  paint(changes) {
    const { kind, id } = this.app.selection;
    const { model } = this.app;
    const item = kind === "leg" ? model.legs.get(id) : kind === "room" ? model.rooms.get(id) : undefined;
    document.body.classList.toggle("has-detail", kind !== "");
    setHidden(this.node, kind === "");
    if (kind === "") {
      this.shown = "";
      this.node.replaceChildren();
      return;
    }
    if (this.shown !== `${kind} ${id}`) this.begin(kind, id);
    this.paintEvents(kind, id);
    if (item === undefined) {
      this.parts.head.show(["gone", this.last], () => this.head(kind, id, this.last || shortId(id), kind === "leg" ? "This leg has ended." : "This room is gone."));
      for (const name of ["actions", "facts", "running", "members", "matrix"]) this.parts[name].show(null, () => []);
      return;
    }
    const changed = changes === null || (kind === "leg" ? changes.legs : changes.rooms).has(id);
    if (!changed && this.drawn) return;
    this.drawn = true;
    if (kind === "leg") this.leg(item);
    else this.room(item);
  }

  tick() {
    if (this.time) setText(this.time, duration(this.app.model.now() - this.timeFrom));
  }

  begin(kind, id) {
    this.shown = `${kind} ${id}`;
    this.drawn = false;
    this.time = null;
    this.last = "";
    this.seen = -1;
    this.parts = {
      head: new Part("Name"),
      actions: new Part("Actions"),
      running: new Part("What runs"),
      members: new Part("Legs in the room"),
      matrix: new Part("Who hears whom"),
      facts: new Part("Facts"),
      events: new Part("Last events"),
    };
    this.node.replaceChildren(...Object.values(this.parts).map((part) => part.node));
  }

  head(kind, id, title, line, badges = []) {
    const close = el("button", {
      type: "button",
      class: "plain close",
      "data-focus": "close",
      "aria-label": "Close details",
      "aria-keyshortcuts": "Escape",
      text: "×",
      on: { click: () => this.app.select("", "") },
    });
    return [
      el("div", { class: "detail-head" }, el("h2", { tabindex: "-1", "data-focus": "title", text: title }), close),
      el("p", { class: "quiet" }, line),
      el(
        "p",
        { class: "ids" },
        el("span", { class: "mono", text: id }),
        el("button", { type: "button", class: "plain", "data-focus": "copy", "aria-label": `Copy the ${kind}'s id`, text: "Copy", on: { click: () => copy(id) } }),
      ),
      badges.length ? el("p", { class: "badges" }, badges.map(([text, look]) => el("span", { class: `badge ${look}`, text }))) : null,
    ];
  }

  actions(list) {
    this.available = list;
    this.parts.actions.show(
      list.map(({ id, label }) => [id, label]),
      () => [
        list.length
          ? el("div", { class: "actions", role: "toolbar", "aria-label": "Actions" }, list.map((action) => this.button(action)))
          : el("p", { class: "quiet", text: "This token may look, and change nothing." }),
      ],
    );
  }

  button({ id, label, key, danger, primary }) {
    return el("button", {
      type: "button",
      "data-focus": `action ${id}`,
      class: danger ? "danger" : primary ? "primary" : "",
      "aria-keyshortcuts": key ?? null,
      text: label,
      on: { click: () => this.run(id) },
    });
  }

  // The action of this name as it is now: the leg may have changed since the button was made.
  run(id) {
    this.available?.find((one) => one.id === id)?.run();
  }

  facts(pairs) {
    const told = pairs.filter(([, value]) => value !== "" && value !== undefined && value !== null);
    this.parts.facts.show(told, () => [
      el("h3", { text: "Facts" }),
      el("dl", {}, told.flatMap(([name, value]) => [el("dt", { text: name }), el("dd", { text: String(value) })])),
    ]);
  }

  running(key) {
    const { model, actions } = this.app;
    const recording = model.recordings.get(key);
    const agent = model.agents.get(key);
    const text = model.transcriptions.get(key);
    const rows = [];
    if (recording) rows.push(["Recording", recording.paused ? "paused" : recording.state === "closing" ? "is being finished" : recording.state === "armed" ? "waits for media" : "", (recording.file ?? "").split("/").at(-1)]);
    for (const one of model.playbacksOf(key)) rows.push([one.kind === "speech" ? "Speech" : "Playback", "", one.id, one]);
    if (agent) rows.push(["Agent", agent.provider || "connected", ""]);
    if (text) rows.push(["Speech to text", [text.provider, text.language].filter(Boolean).join(", "), ""]);
    this.parts.running.show([rows, model.mayControl], () => [
      rows.length ? el("h3", { text: "Runs" }) : null,
      rows.length
        ? el(
            "ul",
            { class: "plain-list" },
            rows.map(([what, state, id, playback]) =>
              el(
                "li",
                {},
                el("span", {}, el("strong", { text: what }), ` ${state}`),
                id ? el("span", { class: "mono quiet wrap", text: id }) : null,
                playback && model.mayControl
                  ? el("button", { type: "button", "data-focus": `stop ${playback.id}`, "aria-label": `Stop ${playback.id}`, text: "Stop", on: { click: () => actions.stopPlaying(playback) } })
                  : null,
              ),
            ),
          )
        : null,
    ]);
  }

  // ---- a leg ----------------------------------------------------------------------------------------------

  leg(leg) {
    const { model, actions } = this.app;
    this.last = peer(leg);
    this.timeFrom = leg.answered_at || leg.created_at;
    const badges = ofLeg(model, leg);
    this.parts.head.show([peer(leg), leg.state, leg.answered_at, badges], () => {
      this.time = el("span", { class: "number", text: duration(model.now() - this.timeFrom) });
      const state = el("span", { class: `pill ${leg.state}`, text: stateName(leg.state) });
      return this.head("leg", leg.id, peer(leg), [state, " ", this.time], badges);
    });
    this.actions(actions.ofLeg(leg));
    this.facts([
      [isOutbound(leg) ? "From" : "To", called(leg)],
      ["Type", typeName(leg.type)],
      ["Room", leg.room_id],
      ["Role", leg.role],
      ["Application", leg.app_id],
      ["Codec", leg.codec],
      ["Trunk", leg.trunk],
      ["Switch", this.app.severalSwitches ? leg.switch : ""],
      ["Digits pressed", leg.digits],
      ["Answering machine", leg.amd],
      ["Transfer", leg.transfer],
      ...Object.entries(leg.headers ?? {}),
    ]);
    this.running(`leg ${leg.id}`);
    const room = leg.room_id ? model.rooms.get(leg.room_id) : undefined;
    if (room) this.hearing(room, leg);
    else this.parts.matrix.show(null, () => []);
    this.parts.members.show(null, () => []);
  }

  // ---- a room ---------------------------------------------------------------------------------------------

  room(room) {
    const { model, actions } = this.app;
    const legs = model.legsOf(room.id).sort((one, other) => one.created_at - other.created_at);
    this.last = shortId(room.id);
    this.time = null;
    this.parts.head.show([legs.length], () =>
      this.head("room", room.id, shortId(room.id), legs.length === 1 ? "1 leg" : `${legs.length} legs`),
    );
    this.actions(actions.ofRoom(room));
    this.facts([
      ["Application", room.app_id],
      ["Sample rate", room.sample_rate ? `${room.sample_rate} Hz` : ""],
      ...model.bridgesOf(room.id).map((bridge) => ["Bridge", bridgeText(room, bridge)]),
      ...Object.entries(room.matrix).map(([role, row]) => [`${role} hears`, row.length ? row.join(", ") : "nobody"]),
    ]);
    this.running(`room ${room.id}`);
    this.members(legs);
    this.hears(room, legs);
  }

  // Whom a leg hears in its room, and by whom it is heard.
  hearing(room, leg) {
    const others = this.app.model.legsOf(room.id).filter((one) => one.id !== leg.id);
    const lists = { "Hears": [], "Does not hear": [], "Is heard by": [], "Is not heard by": [] };
    for (const other of others) {
      const inward = unheard(room, leg, other);
      const outward = unheard(room, other, leg);
      lists[inward ? "Does not hear" : "Hears"].push(inward ? `${peer(other)} (${inward})` : peer(other));
      lists[outward ? "Is not heard by" : "Is heard by"].push(outward ? `${peer(other)} (${outward})` : peer(other));
    }
    const told = Object.entries(lists).filter(([, names]) => names.length);
    this.parts.matrix.show(told, () => [
      told.length ? el("h3", { text: "Who hears whom" }) : null,
      el("dl", {}, told.map(([text, names]) => [el("dt", { text }), el("dd", { text: fewOf(names) })])),
    ]);
  }

  members(legs) {
    const { model, app } = { model: this.app.model, app: this.app };
    const rows = legs.slice(0, MEMBERS).map((leg) => [leg.id, peer(leg), leg.role ?? "", stateName(leg.state), ofLeg(model, leg)]);
    this.parts.members.show([rows, legs.length], () => [
      rows.length ? el("h3", { text: "In it" }) : el("p", { class: "quiet", text: "Nobody is in the room." }),
      el(
        "ul",
        { class: "plain-list" },
        rows.map(([id, name, role, , badges]) =>
          el(
            "li",
            {},
            el("button", { type: "button", class: "link", "data-focus": `leg ${id}`, text: name, on: { click: () => app.select("leg", id) } }),
            role ? el("span", { class: "quiet", text: role }) : null,
            el("span", { class: "badges" }, badges.map(([text, kind]) => el("span", { class: `badge ${kind}`, text }))),
          ),
        ),
      ),
      legs.length > MEMBERS ? el("p", { class: "quiet", text: `and ${legs.length - MEMBERS} more` }) : null,
    ]);
  }

  // A row and a column for each leg of the room.
  hears(room, legs) {
    const shown = legs.slice(0, MATRIX_LEGS);
    const cells = shown.map((listener) => shown.map((source) => (source.id === listener.id ? null : unheard(room, listener, source))));
    const left = legs.length - shown.length;
    this.parts.matrix.show([cells, shown.map(peer), left], () => {
      if (legs.length < 2) return [];
      const head = shown.map((leg) => el("th", { scope: "col" }, el("span", { title: peer(leg), text: brief(peer(leg)) })));
      const body = shown.map((listener, at) =>
        el(
          "tr",
          {},
          el("th", { scope: "row", title: peer(listener), text: brief(peer(listener)) }),
          cells[at].map((why) => cell(why)),
        ),
      );
      return [
        el("h3", { text: "Who hears whom" }),
        el(
          "div",
          { class: "scroll", tabindex: "0", role: "group", "aria-label": "Who hears whom" },
          el(
            "table",
            { class: "matrix" },
            el("caption", { class: "quiet", text: "Rows hear columns." }),
            el("thead", {}, el("tr", {}, el("td"), head)),
            el("tbody", {}, body),
          ),
        ),
        left > 0 ? el("p", { class: "quiet", text: `${left} more legs are not shown.` }) : null,
      ];
    });
  }

  // ---- events ---------------------------------------------------------------------------------------------

  paintEvents(kind, id) {
    const { log } = this.app;
    if (this.seen === log.version) return;
    this.seen = log.version;
    const { found } = log.newest(filter({ [kind]: id }), EVENTS);
    this.parts.events.show(
      found.map((event) => event.event_id),
      () => [
        el("h3", { text: "Last events" }),
        found.length
          ? el(
              "ol",
              { class: "last-events" },
              found.map((event) =>
                el(
                  "li",
                  {},
                  el("time", { class: "mono quiet", datetime: event.timestamp, text: clockTime(event.timestamp).slice(0, 8) }),
                  el("span", { class: "type", text: event.type }),
                  el("span", { class: "quiet wrap", text: summary(event) }),
                ),
              ),
            )
          : el("p", { class: "quiet", text: "None since this page was opened." }),
        el("button", { type: "button", class: "link", "data-focus": "all events", text: "All of its events", on: { click: () => this.app.showEvents(kind, id) } }),
      ],
    );
  }
}

function cell(why) {
  if (why === null) return el("td", { class: "self" }, el("span", { class: "skip", text: "itself" }));
  if (why === "") return el("td", { class: "yes", title: "hears" }, el("span", { "aria-hidden": "true", text: "●" }), el("span", { class: "skip", text: "hears" }));
  return el("td", { class: "no", title: `does not hear: ${why}` }, el("span", { "aria-hidden": "true", text: "–" }), el("span", { class: "skip", text: `does not hear: ${why}` }));
}

function brief(name) {
  return name.length > 16 ? `${name.slice(0, 15)}…` : name;
}

function fewOf(names) {
  const left = names.length - MATRIX_LEGS;
  return names.slice(0, MATRIX_LEGS).join(", ") + (left > 0 ? ` and ${left} more` : "");
}

function bridgeText(room, bridge) {
  const other = bridge.room_a_id === room.id ? bridge.room_b_id : bridge.room_a_id;
  const toB = bridge.room_a_id === room.id;
  const ways = {
    bidirectional: "both ways with",
    a_to_b: toB ? "is heard in" : "hears",
    b_to_a: toB ? "hears" : "is heard in",
    none: "silent, with",
  };
  return `${ways[bridge.direction] ?? bridge.direction} ${other}`;
}
