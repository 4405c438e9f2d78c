// What there is: legs, rooms, and what runs on them. Made of one look at the service (`load`) and of the events
// behind it (`apply`); each event says what is so, not what to add, so that one told twice does no harm.

const MOST_DIGITS = 32;

export function ownerKey(thing) {
  return thing.leg_id ? `leg ${thing.leg_id}` : `room ${thing.room_id}`;
}

export class Model {
  constructor() {
    this.legs = new Map();
    this.rooms = new Map();
    this.bridges = new Map();
    this.recordings = new Map();
    this.playbacks = new Map();
    this.agents = new Map();
    this.transcriptions = new Map();
    this.you = { name: "", scope: "read", app_id: "" };
    this.version = "";
    this.instance = "";
    this.offset = 0;
    this.members = new Map();
    this.clean();
  }

  // What has changed since the last time this was called.
  clean() {
    const changes = this.changes;
    this.changes = { legs: new Set(), rooms: new Set(), which: false };
    return changes;
  }

  get dirty() {
    return this.changes.which || this.changes.legs.size > 0 || this.changes.rooms.size > 0;
  }

  // Unix seconds by the service's clock.
  now() {
    return Date.now() / 1000 + this.offset;
  }

  get mayControl() {
    return this.you.scope !== "read";
  }

  legsOf(roomId) {
    return [...(this.members.get(roomId) ?? [])].map((id) => this.legs.get(id)).filter(Boolean);
  }

  bridgesOf(roomId) {
    return [...this.bridges.values()].filter((one) => one.room_a_id === roomId || one.room_b_id === roomId);
  }

  playbacksOf(key) {
    return [...this.playbacks.values()].filter((one) => ownerKey(one) === key);
  }

  // ---- the look -------------------------------------------------------------------------------------------

  load(state) {
    this.offset = state.now - Date.now() / 1000;
    this.you = state.you;
    this.version = state.version;
    this.instance = state.instance_id;
    this.replace("legs", state.legs, (leg) => leg.id, ["digits", "transfer", "amd"]);
    this.replace("rooms", state.rooms, (room) => room.id, []);
    this.members.clear();
    for (const leg of this.legs.values()) if (leg.room_id) this.membersOf(leg.room_id).add(leg.id);
    this.belongings("bridges", state.bridges, (one) => one.id);
    this.belongings("recordings", state.recordings, ownerKey);
    this.belongings("playbacks", state.playbacks, (one) => one.id);
    this.belongings("agents", state.agents, ownerKey);
    this.belongings("transcriptions", state.transcriptions, ownerKey);
  }

  replace(kind, items, keyOf, kept) {
    const before = this[kind];
    const after = new Map();
    for (const item of items) {
      const old = before.get(keyOf(item));
      for (const name of kept) if (old?.[name] !== undefined) item[name] = old[name];
      after.set(keyOf(item), item);
      if (old === undefined) this.changes.which = true;
      if (old === undefined || JSON.stringify(old) !== JSON.stringify(item)) this.changes[kind].add(keyOf(item));
    }
    for (const key of before.keys()) {
      if (after.has(key)) continue;
      this.changes[kind].add(key);
      this.changes.which = true;
    }
    this[kind] = after;
  }

  belongings(kind, items, keyOf) {
    const before = this[kind];
    this[kind] = new Map(items.map((item) => [keyOf(item), item]));
    for (const item of [...before.values(), ...items]) this.touchOwner(item);
  }

  touchOwner(item) {
    if (item.leg_id) this.touchLeg(item.leg_id);
    for (const room of [item.room_id, item.room_a_id, item.room_b_id]) if (room) this.changes.rooms.add(room);
  }

  touchLeg(id) {
    this.changes.legs.add(id);
    const room = this.legs.get(id)?.room_id;
    if (room) this.changes.rooms.add(room);
  }

  membersOf(roomId) {
    if (!this.members.has(roomId)) this.members.set(roomId, new Set());
    return this.members.get(roomId);
  }

  // ---- events ---------------------------------------------------------------------------------------------

  // Take an event. Answers what only the service can say then: {legs: [ids], rooms: [ids]}, or null.
  apply(event) {
    const handler = HANDLERS[event.type];
    return handler ? (handler(this, event) ?? null) : null;
  }

  // A view that the service has given for a leg or a room.
  learnLeg(view) {
    const leg = this.legs.get(view.id);
    if (leg === undefined) return;
    Object.assign(leg, { role: "" }, view);
    this.touchLeg(view.id);
  }

  learnRoom(view) {
    const room = this.rooms.get(view.id);
    if (room === undefined) return;
    room.sample_rate = view.sample_rate;
    this.changes.rooms.add(view.id);
  }

  setLeg(event, values) {
    let leg = this.legs.get(event.leg_id);
    if (leg === undefined) {
      if (event.type !== "leg.ringing" && event.type !== "leg.connected") return undefined;
      leg = {
        id: event.leg_id,
        type: event.leg_type,
        state: "ringing",
        muted: false,
        deaf: false,
        held: false,
        app_id: event.app_id,
        created_at: Date.parse(event.timestamp) / 1000,
        answered_at: 0,
      };
      this.legs.set(leg.id, leg);
      this.changes.which = true;
    }
    Object.assign(leg, values);
    this.touchLeg(leg.id);
    return leg;
  }

  place(event, roomId) {
    const leg = this.legs.get(event.leg_id);
    if (leg === undefined) return;
    this.touchLeg(leg.id);
    if (leg.room_id) this.members.get(leg.room_id)?.delete(leg.id);
    if (roomId) {
      leg.room_id = roomId;
      this.membersOf(roomId).add(leg.id);
    } else {
      delete leg.room_id;
      leg.speaking = false;
    }
    this.touchLeg(leg.id);
  }

  forgetOwned(key) {
    this.recordings.delete(key);
    this.agents.delete(key);
    this.transcriptions.delete(key);
    for (const one of this.playbacksOf(key)) this.playbacks.delete(one.playback_id ?? one.id);
  }
}

function owned(kind, valueOf) {
  return (model, event) => {
    const key = ownerKey(event);
    const value = valueOf(model[kind].get(key), event);
    if (value === null) model[kind].delete(key);
    else model[kind].set(key, value);
    model.touchOwner(event);
  };
}

function playing(kind, idName, starts) {
  return (model, event) => {
    const id = event[idName];
    if (starts) {
      const owner = event.leg_id ? { leg_id: event.leg_id } : { room_id: event.room_id };
      model.playbacks.set(id, { ...owner, id, kind, started_at: Date.parse(event.timestamp) / 1000 });
    } else model.playbacks.delete(id);
    model.touchOwner(event);
  };
}

function bridged(model, event) {
  const { bridge_id: id, room_a_id, room_b_id, direction } = event;
  model.bridges.set(id, { id, room_a_id, room_b_id, direction });
  model.touchOwner(event);
}

function recording(before, event, values) {
  const owner = event.leg_id ? { leg_id: event.leg_id } : { room_id: event.room_id };
  return { ...owner, state: "running", started_at: Date.parse(event.timestamp) / 1000, ...before, ...values };
}

function transcribed(model, event) {
  const owner = event.room_id ? { room_id: event.room_id } : { leg_id: event.leg_id };
  const key = ownerKey(owner);
  if (!model.transcriptions.has(key)) model.transcriptions.set(key, owner);
  model.touchOwner(owner);
}

const HANDLERS = {
  "leg.ringing": (model, event) => {
    model.setLeg(event, {
      state: "ringing",
      from: event.from ?? "",
      to: event.to ?? "",
      uri: event.uri ?? "",
      trunk: event.trunk_id ?? "",
      ...(event.sip_headers ? { headers: event.sip_headers } : {}),
    });
  },
  "leg.early_media": (model, event) => void model.setLeg(event, { state: "early_media" }),
  "leg.connected": (model, event) => {
    model.setLeg(event, { state: "connected", answered_at: Date.parse(event.timestamp) / 1000 });
  },
  "leg.disconnected": (model, event) => {
    model.touchLeg(event.leg_id);
    const leg = model.legs.get(event.leg_id);
    if (leg === undefined) return;
    if (leg.room_id) model.members.get(leg.room_id)?.delete(leg.id);
    model.legs.delete(leg.id);
    model.forgetOwned(`leg ${leg.id}`);
    model.changes.which = true;
  },
  "leg.muted": (model, event) => void model.setLeg(event, { muted: true, speaking: false }),
  "leg.unmuted": (model, event) => void model.setLeg(event, { muted: false }),
  "leg.deaf": (model, event) => void model.setLeg(event, { deaf: true }),
  "leg.undeaf": (model, event) => void model.setLeg(event, { deaf: false }),
  "leg.hold": (model, event) => void model.setLeg(event, { held: true, state: "held" }),
  "leg.unhold": (model, event) => void model.setLeg(event, { held: false, state: "connected" }),
  "leg.joined_room": (model, event) => {
    model.place(event, event.room_id);
    return { legs: [event.leg_id], rooms: [] }; // mute, deaf and role of a join are told by no event
  },
  "leg.left_room": (model, event) => {
    if (model.legs.get(event.leg_id)?.room_id === event.room_id) model.place(event, "");
  },
  "leg.role_changed": (model, event) => void model.setLeg(event, { role: event.new_role }),
  "speaking.started": (model, event) => void model.setLeg(event, { speaking: true }),
  "speaking.stopped": (model, event) => void model.setLeg(event, { speaking: false }),
  "leg.transfer_initiated": (model, event) => void model.setLeg(event, { transfer: `to ${event.target}` }),
  "leg.transfer_requested": (model, event) => {
    model.setLeg(event, { transfer: `${event.declined ? "declined" : "asked for"}: ${event.target}` });
  },
  "leg.transfer_completed": (model, event) => void model.setLeg(event, { transfer: "completed" }),
  "leg.transfer_failed": (model, event) => {
    model.setLeg(event, { transfer: `failed: ${event.reason ?? event.error ?? event.status_code ?? ""}` });
  },
  "amd.result": (model, event) => void model.setLeg(event, { amd: event.result }),
  "dtmf.received": (model, event) => {
    const leg = model.legs.get(event.leg_id);
    if (leg) model.setLeg(event, { digits: `${leg.digits ?? ""}${event.digit}`.slice(-MOST_DIGITS) });
  },
  "room.created": (model, event) => {
    if (!model.rooms.has(event.room_id)) {
      const app = event.app_id ? { app_id: event.app_id } : {};
      model.rooms.set(event.room_id, { id: event.room_id, sample_rate: 0, matrix: {}, ...app });
      model.changes.which = true;
    }
    model.changes.rooms.add(event.room_id);
    return { legs: [], rooms: [event.room_id] };
  },
  "room.deleted": (model, event) => {
    if (model.rooms.delete(event.room_id)) model.changes.which = true;
    model.forgetOwned(`room ${event.room_id}`);
    for (const leg of model.legsOf(event.room_id)) model.place({ leg_id: leg.id }, "");
    model.members.delete(event.room_id);
    model.changes.rooms.add(event.room_id);
  },
  "room.routing_changed": (model, event) => {
    const room = model.rooms.get(event.room_id);
    if (room) room.matrix = event.matrix;
    model.changes.rooms.add(event.room_id);
  },
  "room.bridged": bridged,
  "room.bridge_updated": bridged,
  "room.unbridged": (model, event) => {
    model.bridges.delete(event.bridge_id);
    model.touchOwner(event);
  },
  "recording.started": owned("recordings", (before, event) => recording({}, event, { file: event.file, paused: false })),
  "recording.paused": owned("recordings", (before, event) => recording(before, event, { paused: true })),
  "recording.resumed": owned("recordings", (before, event) => recording(before, event, { paused: false })),
  "recording.finished": owned("recordings", () => null),
  "playback.started": playing("playback", "playback_id", true),
  "playback.finished": playing("playback", "playback_id", false),
  "playback.error": playing("playback", "playback_id", false),
  "tts.started": playing("speech", "tts_id", true),
  "tts.finished": playing("speech", "tts_id", false),
  "tts.error": playing("speech", "tts_id", false),
  "agent.connected": owned("agents", (before, event) => ({
    ...(event.leg_id ? { leg_id: event.leg_id } : { room_id: event.room_id }),
    provider: "",
    ...before,
    connected: true,
  })),
  "agent.disconnected": owned("agents", () => null),
  "stt.text": transcribed,
};

// Whether a leg hears another in this room, and why not: "" or a reason.
export function unheard(room, listener, source) {
  if (listener.deaf) return "deaf";
  if (listener.held) return "on hold";
  if (source.muted) return "muted";
  if (source.held) return "other on hold";
  const row = listener.role ? room.matrix[listener.role] : undefined;
  if (row && !(source.role && row.includes(source.role))) return "routing";
  return "";
}
