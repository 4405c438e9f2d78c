// The last events, and which of them are wanted. Bounded: what is older than the last MOST is forgotten.

export const MOST = 2000;

export class EventLog {
  constructor() {
    this.events = [];
    this.total = 0;
    this.lost = 0;
    this.version = 0;
  }

  add(event) {
    this.events.push(event);
    this.total += 1;
    this.version += 1;
    if (this.events.length > MOST + MOST / 4) this.events.splice(0, this.events.length - MOST);
  }

  // Events that the service could not tell us.
  addLoss(count) {
    this.lost += count;
    this.add({ type: "events_dropped", count, timestamp: new Date().toISOString(), event_id: `lost ${this.total}` });
  }

  clear() {
    this.events = [];
    this.version += 1;
  }

  // The newest `limit` that pass, newest first, and how many passed in all.
  newest(passes, limit) {
    const found = [];
    let matching = 0;
    for (let at = this.events.length - 1; at >= Math.max(0, this.events.length - MOST); at -= 1) {
      if (!passes(this.events[at])) continue;
      matching += 1;
      if (found.length < limit) found.push(this.events[at]);
    }
    return { found, matching };
  }
}

// A filter of a type pattern (`leg.*`, several with commas) and of parts of leg, room and application.
export function filter({ type = "", leg = "", room = "", app = "" }) {
  const patterns = type.split(/[\s,]+/).filter(Boolean).map(glob);
  const parts = [["leg_id", leg], ["app_id", app]].filter(([, part]) => part);
  return (event) =>
    (patterns.length === 0 || patterns.some((one) => one.test(event.type))) &&
    parts.every(([name, part]) => (event[name] ?? "").includes(part)) &&
    (!room || [event.room_id, event.room_a_id, event.room_b_id].some((id) => id?.includes(room)));
}

function glob(pattern) {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*/g, ".*").replace(/\?/g, ".");
  return new RegExp(`^${escaped}$`);
}

const NOT_TOLD = new Set(["type", "event_id", "timestamp", "instance_id", "leg_id", "room_id", "app_id", "leg_type"]);

// What an event says besides its type and of whom: in a line.
export function summary(event) {
  const parts = [];
  for (const [name, value] of Object.entries(event)) {
    if (NOT_TOLD.has(name)) continue;
    if (name === "cdr") parts.push(`${value.reason}, ${Math.round(value.duration_total)} s`);
    else if (typeof value === "object" && value !== null) continue;
    else parts.push(`${name}: ${value}`);
  }
  return parts.join("  ").slice(0, 300);
}
