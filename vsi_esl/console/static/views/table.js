// A table whose rows are kept by key: sorted by its heads, walked with the arrow keys, chosen with check boxes.
// The roles stand in the markup, since the rows are laid out as grids, and on a phone as cards, and browsers take
// the table's own roles away then.

import { Keyed, el, setAttribute, setClass, setText } from "../dom.js";

const STEP = 500;
const PAGE = 10;
// Rows made, and rows out of sight written anew, in one frame: a person who types is not to wait for more.
const SLICE = 80;

export class Table {
  // `columns`: {id, label, sort(item) for a value, make() for {node, update(item)}, class}.
  // `open(item)` when a row is chosen, `changed()` when the order or the marks are other ones,
  // `nameOf(item)` for the label of its check box; without it rows cannot be marked.
  constructor({ label, columns, idOf, open, changed, nameOf = null, sort, empty }) {
    Object.assign(this, { columns, idOf, open, changed, nameOf, empty });
    this.sort = sort;
    this.limit = STEP;
    this.marked = new Set();
    this.current = "";
    this.opened = "";
    this.items = new Map();
    this.visible = new Set();
    this.stale = new Set();
    this.heads = new Map();
    this.all = nameOf === null ? null : this.box("Mark all that are shown", () => this.markAll());
    this.body = el("tbody", { role: "rowgroup", on: { keydown: (event) => this.key(event) } });
    const head = el(
      "tr",
      { role: "row" },
      this.all === null ? null : el("th", { role: "columnheader", scope: "col", class: "mark" }, this.all),
      columns.map((column) => this.head(column)),
    );
    const table = el("table", { role: "table", "aria-label": label, class: label.toLowerCase() }, el("thead", { role: "rowgroup" }, head), this.body);
    this.note = el("p", { class: "empty", hidden: true });
    this.more = el("button", { type: "button", hidden: true, on: { click: () => this.showMore() } });
    this.node = el("div", { class: "table" }, table, this.note, this.more);
    this.rows = new Keyed(this.body, (item) => this.row(item));
    this.watcher = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) this.visible.add(target.dataset.key);
        else this.visible.delete(target.dataset.key);
      }
    });
  }

  head(column) {
    const node = el("th", { role: "columnheader", scope: "col", class: column.class ?? "" });
    if (!column.sort) node.append(column.label);
    else {
      node.append(el("button", { type: "button", class: "sort", text: column.label, on: { click: () => this.sortBy(column.id) } }));
      this.heads.set(column.id, node);
    }
    return node;
  }

  box(label, change) {
    return el("input", { type: "checkbox", "aria-label": label, on: { change } });
  }

  sortBy(id) {
    const { by, down } = this.sort;
    this.sort = { by: id, down: by === id ? !down : false };
    this.changed();
  }

  showMore() {
    this.limit += STEP;
    this.changed();
  }

  // Show these items; of `changed` keys (all without it) the rows are looked at.
  show(items, changed = null) {
    const column = this.columns.find((one) => one.id === this.sort.by);
    const sign = this.sort.down ? -1 : 1;
    const values = new Map(items.map((item) => [item, column.sort(item)]));
    const order = (one, other) => {
      const a = values.get(one);
      const b = values.get(other);
      return a < b ? -sign : a > b ? sign : this.idOf(one) < this.idOf(other) ? -1 : 1;
    };
    const shown = items.sort(order).slice(0, this.limit);
    this.items = new Map(shown.map((item) => [this.idOf(item), item]));
    for (const id of this.marked) if (!this.items.has(id)) this.marked.delete(id);
    const keys = this.slice([...this.items.keys()]);
    this.rows.show(keys, (key) => this.items.get(key), this.turn(changed ?? keys));
    if (keys.length < shown.length || this.stale.size > 0) this.changed();
    this.roamTo(this.items.has(this.current) ? this.current : (keys[0] ?? ""));
    for (const [id, node] of this.heads) {
      setAttribute(node, "aria-sort", id === this.sort.by ? (this.sort.down ? "descending" : "ascending") : null);
    }
    const more = items.length - this.items.size;
    this.more.hidden = more === 0;
    setText(this.more, `Show ${Math.min(STEP, more)} more of ${items.length}`);
    this.note.hidden = items.length > 0;
    if (items.length === 0) setText(this.note, this.empty());
    this.showMarks();
  }

  // As many of these keys as there may be rows now: those there are, and a slice more.
  slice(keys) {
    let room = SLICE;
    const end = keys.findIndex((key) => !this.rows.rows.has(key) && (room -= 1) < 0);
    return end < 0 ? keys : keys.slice(0, end);
  }

  // Which rows are written now, of these and those that are still to be: what is on the screen, and some more.
  turn(changed) {
    for (const key of changed) if (this.rows.rows.has(key)) this.stale.add(key);
    const now = new Set();
    let room = SLICE;
    for (const key of this.stale) {
      if (!this.items.has(key)) this.stale.delete(key);
      else if (this.visible.has(key) || (room -= 1) >= 0) now.add(key);
    }
    for (const key of now) this.stale.delete(key);
    return now;
  }

  row(item) {
    const id = this.idOf(item);
    const box = this.nameOf === null ? null : this.box("", () => this.mark(id, box.checked));
    box?.setAttribute("tabindex", "-1");
    const cells = this.columns.map((column) => {
      const made = column.make();
      const cell = el("td", { role: "cell", class: column.class ?? "", "data-label": column.label }, made.node);
      return { cell, update: made.update };
    });
    const mark = box === null ? null : el("td", { role: "cell", class: "mark" }, box);
    const node = el("tr", { role: "row", "data-key": id }, mark, cells.map((one) => one.cell));
    const opens = node.querySelector(".opens");
    node.addEventListener("click", (event) => {
      if (event.target.closest("button, input, a")) return;
      this.choose(id);
    });
    node.addEventListener("focusin", () => this.roamTo(id));
    opens.addEventListener("click", () => this.choose(id));
    this.watcher.observe(node);
    return {
      node,
      box,
      opens,
      look: "",
      update: (now) => {
        if (box !== null) setAttribute(box, "aria-label", `Mark ${this.nameOf(now)}`);
        for (const one of cells) one.update(now);
      },
      gone: () => {
        this.watcher.unobserve(node);
        this.visible.delete(id);
      },
    };
  }

  choose(id) {
    const item = this.items.get(id);
    if (item !== undefined) this.open(item);
  }

  // Rows on the screen, for what goes on without events.
  onScreen() {
    return [...this.visible].filter((key) => this.items.has(key));
  }

  // ---- marks ----------------------------------------------------------------------------------------------

  mark(id, on) {
    if (on) this.marked.add(id);
    else this.marked.delete(id);
    this.changed();
  }

  toggle(id) {
    if (this.nameOf !== null && this.items.has(id)) this.mark(id, !this.marked.has(id));
  }

  markAll() {
    this.marked = new Set(this.all.checked ? this.items.keys() : []);
    this.changed();
  }

  get markedItems() {
    return [...this.marked].map((id) => this.items.get(id)).filter(Boolean);
  }

  showMarks() {
    for (const [id, row] of this.rows.rows) {
      const on = this.marked.has(id);
      const opened = id === this.opened;
      const look = `${on ? "marked " : ""}${opened ? "opened" : ""}`;
      if (row.look === look) continue;
      row.look = look;
      setClass(row.node, look);
      if (row.box !== null) row.box.checked = on;
      setAttribute(row.opens, "aria-current", opened ? "true" : null);
    }
    if (this.all !== null) {
      this.all.checked = this.marked.size > 0 && this.marked.size === this.items.size;
      this.all.indeterminate = this.marked.size > 0 && !this.all.checked;
    }
  }

  // ---- keys -----------------------------------------------------------------------------------------------

  // One row at a time is in the order of the Tab key; all others are made without.
  roamTo(id) {
    this.reachable(this.current, "-1");
    this.current = id;
    this.reachable(id, "0");
  }

  reachable(id, index) {
    const row = this.rows.rows.get(id);
    if (row === undefined) return;
    setAttribute(row.opens, "tabindex", index);
    if (row.box !== null) setAttribute(row.box, "tabindex", index);
  }

  key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE, PageUp: -PAGE, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.step(step);
  }

  step(by) {
    const keys = this.rows.order;
    if (keys.length === 0) return;
    const at = Math.max(0, keys.indexOf(this.current));
    const to = Math.min(keys.length - 1, Math.max(0, at + by));
    this.roamTo(keys[to]);
    this.focus();
  }

  focus() {
    this.rows.rows.get(this.current)?.opens.focus();
  }

  // The row that has the focus.
  get focused() {
    const row = this.body.contains(document.activeElement) ? document.activeElement.closest("tr") : null;
    return row ? (this.items.get(row.dataset.key) ?? null) : null;
  }
}

// Cells that are used by more than one table.

export function textCell(valueOf, { title = false } = {}) {
  return () => {
    const node = el("span");
    return {
      node,
      update: (item) => {
        const text = valueOf(item) ?? "";
        setText(node, text);
        if (title) setAttribute(node, "title", text || null);
      },
    };
  };
}

// Words in frames, such as Muted; `badgesOf(item)` gives [text, kind] pairs.
export function badgesCell(badgesOf) {
  return () => {
    const node = el("span", { class: "badges" });
    let shown = "";
    return {
      node,
      update: (item) => {
        const badges = badgesOf(item);
        const now = badges.join("|");
        if (now === shown) return;
        shown = now;
        node.replaceChildren(...badges.map(([text, kind]) => el("span", { class: `badge ${kind}`, text })));
      },
    };
  };
}
