// The rooms, and who is in them.

import { el, setText } from "../dom.js";
import { count, peer, shortId } from "../format.js";
import { ofRoom, speakers } from "./badges.js";
import { Table, badgesCell, textCell } from "./table.js";

const NAMES = 6;

export class RoomsView {
  constructor(app) {
    this.app = app;
    this.title = "Rooms";
    const { model } = app;
    const size = (room) => model.members.get(room.id)?.size ?? 0;
    this.table = new Table({
      label: "Rooms",
      idOf: (room) => room.id,
      open: (room) => app.select("room", room.id),
      changed: () => app.ask(),
      sort: { by: "legs", down: true },
      empty: () => (model.rooms.size ? "No room is like that." : "There are no rooms."),
      columns: [
        { id: "room", label: "Room", sort: (room) => room.id.toLowerCase(), make: nameCell, class: "peer" },
        { id: "legs", label: "Legs", sort: size, make: textCell((room) => String(size(room))), class: "number" },
        { id: "who", label: "Who", make: () => this.whoCell(), class: "whos" },
        { id: "badges", label: "Status", make: badgesCell((room) => ofRoom(model, room)), class: "marks" },
        { id: "app", label: "Application", sort: (room) => room.app_id ?? "", make: textCell((room) => room.app_id), class: "app" },
        { id: "rate", label: "Rate", make: textCell((room) => (room.sample_rate ? `${room.sample_rate / 1000} kHz` : "")), class: "rate" },
      ],
    });
    this.search = el("input", {
      type: "search",
      id: "rooms-search",
      placeholder: "Room, application",
      autocomplete: "off",
      spellcheck: "false",
      on: { input: () => app.ask() },
    });
    this.found = el("span", { class: "quiet" });
    this.node = el(
      "section",
      { "aria-label": "Rooms" },
      el("div", { class: "filters" }, el("label", { for: "rooms-search", text: "Find" }), this.search, this.found),
      this.table.node,
    );
  }

  get tab() {
    return this.app.model.rooms.size;
  }

  paint(changes) {
    const { model, selection } = this.app;
    const wanted = this.search.value.trim().toLowerCase();
    const found = [...model.rooms.values()].filter((room) => `${room.id} ${room.app_id ?? ""}`.toLowerCase().includes(wanted));
    this.table.opened = selection.kind === "room" ? selection.id : "";
    const total = found.length;
    this.table.show(found, changes && changes.rooms);
    setText(this.found, total === model.rooms.size ? "" : `${total} of ${count(model.rooms.size, "room")}`);
  }

  tick() {}

  whoCell() {
    const node = el("span", { class: "names" });
    let shown = "";
    return {
      node,
      update: (room) => {
        const legs = speakers(this.app.model, room);
        const names = legs.slice(0, NAMES).map((leg) => [peer(leg), leg.speaking ? "speaking" : ""]);
        if (legs.length > NAMES) names.push([`+${legs.length - NAMES}`, "quiet"]);
        const now = names.join("|");
        if (now === shown) return;
        shown = now;
        node.replaceChildren(...names.map(([text, kind]) => el("span", { class: `name ${kind}`, text })));
      },
    };
  }
}

function nameCell() {
  const node = el("button", { type: "button", class: "opens", tabindex: "-1" });
  return {
    node,
    update: (room) => {
      setText(node, shortId(room.id));
      node.title = room.id;
    },
  };
}
