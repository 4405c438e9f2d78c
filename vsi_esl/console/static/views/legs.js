// The legs: all calls that there are.

import { el, setHidden, setText } from "../dom.js";
import { called, count, duration, peer, shortId, stateName, typeName } from "../format.js";
import { ofLeg } from "./badges.js";
import { Table, badgesCell, textCell } from "./table.js";

const FILTERS = [
  ["", "All states"],
  ["ringing", "Ringing"],
  ["early_media", "Early media"],
  ["connected", "Connected"],
  ["held", "On hold"],
  ["alone", "In no room"],
  ["speaking", "Speaking"],
];

export class LegsView {
  constructor(app) {
    this.app = app;
    this.title = "Legs";
    const changed = () => app.ask();
    this.table = new Table({
      label: "Legs",
      idOf: (leg) => leg.id,
      nameOf: peer,
      open: (leg) => app.select("leg", leg.id),
      changed,
      sort: { by: "time", down: true },
      empty: () => (app.model.legs.size ? "No leg is like that." : "No calls at the moment."),
      columns: [
        { id: "state", label: "State", sort: (leg) => leg.state, make: stateCell, class: "state" },
        { id: "peer", label: "Peer", sort: (leg) => peer(leg).toLowerCase(), make: peerCell, class: "peer" },
        { id: "room", label: "Room", sort: (leg) => leg.room_id ?? "", make: () => this.roomCell(), class: "room" },
        { id: "badges", label: "Status", make: badgesCell((leg) => ofLeg(app.model, leg)), class: "marks" },
        { id: "role", label: "Role", sort: (leg) => leg.role ?? "", make: textCell((leg) => leg.role), class: "role" },
        { id: "app", label: "Application", sort: (leg) => leg.app_id ?? "", make: textCell((leg) => leg.app_id), class: "app" },
        { id: "type", label: "Type", sort: (leg) => leg.type, make: textCell((leg) => this.typeOf(leg)), class: "type" },
        { id: "time", label: "Time", sort: (leg) => leg.created_at, make: () => this.timeCell(), class: "time" },
        { id: "id", label: "Id", make: textCell((leg) => shortId(leg.id)), class: "id mono" },
      ],
    });
    this.search = el("input", {
      type: "search",
      id: "legs-search",
      placeholder: "Number, room, role, application, id",
      autocomplete: "off",
      spellcheck: "false",
      on: { input: changed },
    });
    this.state = el("select", { id: "legs-state", on: { change: changed } }, FILTERS.map(([value, text]) => el("option", { value, text })));
    this.found = el("span", { class: "quiet" });
    this.bulk = el("div", { class: "bulk", role: "toolbar", "aria-label": "Marked legs", hidden: true }, this.bulkParts());
    this.node = el(
      "section",
      { "aria-label": "Legs" },
      el(
        "div",
        { class: "filters" },
        el("label", { for: "legs-search", text: "Find" }),
        this.search,
        el("label", { class: "skip", for: "legs-state", text: "State" }),
        this.state,
        this.found,
      ),
      this.bulk,
      this.table.node,
    );
  }

  typeOf(leg) {
    return this.app.severalSwitches && leg.switch ? `${typeName(leg.type)}, ${leg.switch}` : typeName(leg.type);
  }

  bulkParts() {
    const act = (text, run, kind = "") =>
      el("button", { type: "button", class: kind, text, on: { click: () => run(this.table.markedItems) } });
    const { actions } = this.app;
    this.bulkCount = el("strong");
    return [
      this.bulkCount,
      act("Mute", (legs) => actions.mute(legs, true)),
      act("Unmute", (legs) => actions.mute(legs, false)),
      act("Move…", (legs) => actions.move(legs)),
      act("Hang up…", (legs) => actions.hangUp(legs), "danger"),
      act("Unmark", () => this.unmark()),
    ];
  }

  unmark() {
    this.table.marked.clear();
    this.app.ask();
  }

  get tab() {
    return this.app.model.legs.size;
  }

  paint(changes) {
    const { model, selection } = this.app;
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const passes = (leg) => this.inState(leg) && words.every((word) => haystack(leg).includes(word));
    const found = [...model.legs.values()].filter(passes);
    const total = found.length;
    this.table.opened = selection.kind === "leg" ? selection.id : "";
    this.table.show(found, changes && changes.legs);
    setText(this.found, total === model.legs.size ? "" : `${total} of ${count(model.legs.size, "leg")}`);
    setHidden(this.bulk, this.table.marked.size === 0 || !model.mayControl);
    setText(this.bulkCount, `${this.table.marked.size} marked`);
  }

  inState(leg) {
    const wanted = this.state.value;
    if (!wanted) return true;
    if (wanted === "alone") return !leg.room_id;
    return wanted === "speaking" ? Boolean(leg.speaking) : leg.state === wanted;
  }

  tick() {
    this.table.rows.update(this.table.onScreen(), (key) => this.table.items.get(key));
  }

  timeCell() {
    const node = el("span", { class: "number" });
    const update = (leg) => setText(node, duration(this.app.model.now() - (leg.answered_at || leg.created_at)));
    return { node, update };
  }

  roomCell() {
    const node = el("button", { type: "button", class: "link", tabindex: "-1" });
    let room = "";
    node.addEventListener("click", () => this.app.select("room", room));
    return {
      node,
      update: (leg) => {
        room = leg.room_id ?? "";
        setHidden(node, !room);
        setText(node, shortId(room));
      },
    };
  }
}

function haystack(leg) {
  return [leg.id, leg.from, leg.to, leg.uri, leg.room_id, leg.role, leg.app_id, leg.type, leg.switch].join(" ").toLowerCase();
}

function stateCell() {
  const node = el("span");
  return {
    node,
    update: (leg) => {
      setText(node, stateName(leg.state));
      node.className = `pill ${leg.state}`;
    },
  };
}

function peerCell() {
  const name = el("button", { type: "button", class: "opens", tabindex: "-1" });
  const other = el("span", { class: "quiet other" });
  const node = el("span", { class: "two" }, name, other);
  return {
    node,
    update: (leg) => {
      setText(name, peer(leg));
      const to = called(leg);
      setText(other, to ? `${leg.type.endsWith("out") || leg.type.endsWith("outbound") ? "from" : "to"} ${to}` : "");
    },
  };
}
