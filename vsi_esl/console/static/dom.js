// Elements. Text is always set as text: what callers and clients have written is never markup.

// An element with properties and children. `class`, `text`, `on` (listeners) and `data` are as they are called;
// whatever else is an attribute: true is an empty one, false, null and undefined none.
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") node.className = value;
    else if (name === "text") node.textContent = value;
    else if (name === "on") for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
    else if (name === "data") Object.assign(node.dataset, value);
    else setAttribute(node, name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// The setters touch the document only when something is to change: that is what costs.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (value === false || value === null || value === undefined) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

export function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

export function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

// Children of `parent` by key. `make(item)` gives {node, update(item)}; what is there already is updated, and
// moved only when the order has changed around it.
export class Keyed {
  constructor(parent, make) {
    this.parent = parent;
    this.make = make;
    this.rows = new Map();
    this.order = [];
  }

  // `changed` are the keys whose items differ from before; without it all are updated.
  show(keys, itemOf, changed = null) {
    const wanted = new Set(keys);
    for (const [key, row] of this.rows) {
      if (wanted.has(key)) continue;
      row.node.remove();
      row.gone?.();
      this.rows.delete(key);
    }
    let at = this.parent.firstChild;
    for (const key of keys) {
      let row = this.rows.get(key);
      if (row === undefined) {
        row = this.make(itemOf(key), key);
        this.rows.set(key, row);
        row.update(itemOf(key));
      } else if (changed === null || changed.has(key)) {
        row.update(itemOf(key));
      }
      if (row.node === at) at = at.nextSibling;
      else this.parent.insertBefore(row.node, at);
    }
    this.order = keys;
  }

  // Update some rows without looking at the order.
  update(keys, itemOf) {
    for (const key of keys) this.rows.get(key)?.update(itemOf(key));
  }

  clear() {
    for (const row of this.rows.values()) row.gone?.();
    this.parent.replaceChildren();
    this.rows.clear();
    this.order = [];
  }
}

// Keep the focus where it was while `change` replaces what is in `parent`: on the element with the same
// `data-focus`.
export function keepingFocus(parent, change) {
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  change();
  if (focused === undefined) return;
  const again = parent.querySelector(`[data-focus="${CSS.escape(focused)}"]`);
  if (again && again !== document.activeElement) again.focus({ preventScroll: true });
}
