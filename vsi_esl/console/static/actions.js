// What can be done with a leg or a room now, by this token: each {id, label, run, key, danger}. Whoever may only
// read has none. What the service refuses all the same is said in its words.

import { ask } from "./dialogs.js";
import { LISTENER_ROLE, count, peer } from "./format.js";
import { ownerKey } from "./model.js";
import { toast, words } from "./toasts.js";

const REASONS = [
  ["", "Decline (603)"],
  ["busy", "Busy"],
  ["unavailable", "Unavailable"],
  ["not_found", "Not found"],
  ["forbidden", "Forbidden"],
];
const MOST_AT_ONCE = 50;
const REMEMBERED_MS = 60_000;

// What an event tells of an action that was accepted and failed.
const FAILURES = {
  "leg.command_failed": (event) => `${event.command} failed: ${event.error}`,
  "playback.error": (event) => `Cannot play: ${event.error}`,
  "recording.finished": (event) => (event.error ? `Recording: ${event.error}` : ""),
};

export class Actions {
  constructor(model, connection, listening) {
    this.model = model;
    this.connection = connection;
    this.listening = listening;
    this.touched = new Map();
  }

  // An event, which may say that what was done here a moment ago has failed.
  happened(event) {
    const text = FAILURES[event.type]?.(event);
    const at = this.touched.get(event.leg_id) ?? this.touched.get(event.room_id);
    if (text && at !== undefined && Date.now() - at < REMEMBERED_MS) toast(text, true);
  }

  touch(id) {
    this.touched.delete(id);
    this.touched.set(id, Date.now());
    if (this.touched.size > 2 * MOST_AT_ONCE) this.touched.delete(this.touched.keys().next().value);
  }

  // Run a command and say what came of it.
  async run(said, name, payload) {
    this.touch(payload.leg_id ?? payload.id);
    try {
      await this.connection.command(name, payload);
      if (said) toast(said);
      return true;
    } catch (error) {
      toast(words(error), true);
      return false;
    }
  }

  ofLeg(leg) {
    if (!this.model.mayControl) return [];
    const id = leg.id;
    const sip = leg.type.startsWith("sip_");
    const inbound = leg.type === "sip_inbound" || leg.type === "whatsapp_in";
    const ringing = leg.state === "ringing" || leg.state === "early_media";
    const up = leg.state === "connected" || leg.state === "early_media" || leg.state === "held";
    const found = [];
    const add = (name, label, run, more = {}) => found.push({ id: name, label, run, ...more });
    const simple = (name, label, said, command, more) => add(name, label, () => this.run(said, command, { id }), more);
    if (inbound && ringing) {
      simple("answer", "Answer", "Answering.", "answer_leg", { key: "a", primary: true });
      if (leg.type === "sip_inbound" && leg.state === "ringing") simple("ring", "Send ringing", "Ringing.", "leg_ring");
    }
    if (leg.muted) simple("mute", "Unmute", "Unmuted.", "unmute_leg", { key: "m" });
    else simple("mute", "Mute", "Muted.", "mute_leg", { key: "m" });
    if (leg.deaf) simple("deaf", "Let hear", "Hears again.", "undeaf_leg", { key: "d" });
    else simple("deaf", "Deafen", "Deafened.", "deaf_leg", { key: "d" });
    if (sip && (leg.state === "connected" || leg.state === "held")) {
      if (leg.held) simple("hold", "Resume", "Resuming.", "unhold_leg", { key: "h" });
      else simple("hold", "Hold", "Put on hold.", "hold_leg", { key: "h" });
    }
    if (up || inbound) add("move", leg.room_id ? "Move…" : "To a room…", () => this.move([leg]), { key: "r" });
    if (leg.room_id) {
      const away = { room_id: leg.room_id, leg_id: id };
      add("remove", "Out of the room", () => this.run("Taken out of the room.", "remove_leg_from_room", away));
      if (leg.role !== LISTENER_ROLE) add("role", "Role…", () => this.role(leg));
    }
    if (up) {
      add("play", "Play…", () => this.play("leg", id), { key: "p" });
      found.push(...this.recording("leg", id));
      if (sip) add("dtmf", "Digits…", () => this.digits(leg));
    }
    if (leg.room_id) found.push(this.listen(leg.room_id));
    if (inbound && ringing) add("hangup", "Reject…", () => this.reject(leg), { danger: true });
    else simple("hangup", "Hang up", "Hanging up.", "delete_leg", { danger: true });
    return found;
  }

  ofRoom(room) {
    if (!this.model.mayControl) return [];
    return [
      this.listen(room.id),
      { id: "play", label: "Play…", key: "p", run: () => this.play("room", room.id) },
      ...this.recording("room", room.id),
      { id: "delete", label: "Delete room…", danger: true, run: () => this.deleteRoom(room) },
    ];
  }

  listen(roomId) {
    const on = this.listening.room === roomId;
    return {
      id: "listen",
      label: on ? "Stop listening" : "Listen in",
      key: "l",
      run: () => (on ? this.listening.stop() : this.listening.start(roomId)),
    };
  }

  recording(kind, id) {
    const now = this.model.recordings.get(`${kind} ${id}`);
    const act = (name, label, said, command, payload = { id }) => ({
      id: name,
      label,
      run: () => this.run(said, `${kind}_record_${command}`, payload),
    });
    if (now === undefined || now.state === "closing") return [act("record", "Record", "Recording.", "start")];
    return [
      now.paused
        ? act("pause", "Resume recording", "Recording again.", "resume")
        : act("pause", "Pause recording", "Recording paused.", "pause"),
      act("record", "Stop recording", "Recording stopped.", "stop"),
    ];
  }

  // ---- with a question ------------------------------------------------------------------------------------

  async move(legs) {
    const rooms = [...this.model.rooms.keys()].sort();
    const several = legs.length > 1;
    const found = await ask({
      title: several ? `Move ${count(legs.length, "leg")} to a room` : `Move ${peer(legs[0])} to a room`,
      fields: [
        {
          name: "room_id",
          label: "Room",
          required: true,
          suggestions: rooms,
          hint: "One that there is not yet is made. A ringing caller is answered.",
        },
        { name: "role", label: "Role (as it is when empty)" },
        { name: "mute", label: "Muted", type: "checkbox", value: !several && legs[0].muted },
      ],
      confirm: "Move",
    });
    if (found === null) return;
    const { room_id, role, mute } = found;
    const more = { ...(role ? { role } : {}), mute };
    await this.each(legs, "moved", (leg) => this.connection.command("add_leg_to_room", { room_id, leg_id: leg.id, ...more }));
  }

  async role(leg) {
    const matrix = this.model.rooms.get(leg.room_id)?.matrix ?? {};
    const known = new Set([...Object.keys(matrix), ...Object.values(matrix).flat()]);
    const found = await ask({
      title: `Role of ${peer(leg)}`,
      fields: [
        {
          name: "role",
          label: "Role",
          value: leg.role ?? "",
          suggestions: [...known],
          hint: "Who hears whom in the room goes by roles. Empty for none.",
        },
      ],
      confirm: "Set",
    });
    if (found !== null) await this.run("Role set.", "set_leg_role", { leg_id: leg.id, role: found.role });
  }

  async play(kind, id) {
    const found = await ask({
      title: kind === "room" ? "Play to everybody in the room" : "Play to this leg alone",
      fields: [
        {
          name: "what",
          label: "URL or tone",
          required: true,
          hint: "WAV or MP3 by http or https, or a tone such as us_ringback, us_busy, dial.",
        },
        { name: "repeat", label: "Over and over", type: "checkbox" },
      ],
      confirm: "Play",
    });
    if (found === null) return;
    const source = /^https?:/i.test(found.what) ? { url: found.what } : { tone: found.what };
    await this.run("Playing.", `${kind}_play_start`, { id, ...source, repeat: found.repeat ? -1 : 0 });
  }

  stopPlaying(playback) {
    const [kind, id] = ownerKey(playback).split(/ (.*)/s);
    return this.run("Stopped.", `${kind}_play_stop`, { id, playback_id: playback.id });
  }

  async digits(leg) {
    const found = await ask({
      title: `Send digits to ${peer(leg)}`,
      fields: [{ name: "digits", label: "Digits", required: true, pattern: "[0-9*#A-Da-d]+", hint: "0-9, *, #, A-D" }],
      confirm: "Send",
    });
    if (found !== null) await this.run("Sent.", "send_leg_dtmf", { id: leg.id, digits: found.digits });
  }

  async reject(leg) {
    const found = await ask({
      title: `Reject the call of ${peer(leg)}?`,
      fields: [{ name: "reason", label: "Answer", options: REASONS }],
      confirm: "Reject",
      danger: true,
    });
    if (found === null) return;
    await this.run("Rejected.", "delete_leg", { id: leg.id, reason: found.reason || "declined" });
  }

  async deleteRoom(room) {
    const legs = this.model.legsOf(room.id);
    const found = await ask({
      title: `Delete room ${room.id}?`,
      text: legs.length ? `${count(legs.length, "leg")} in it will be hung up.` : "Nobody is in it.",
      confirm: legs.length ? `Hang up ${count(legs.length, "leg")} and delete` : "Delete",
      danger: true,
    });
    if (found !== null) await this.run("Room deleted.", "delete_room", { id: room.id });
  }

  // ---- several at once ------------------------------------------------------------------------------------

  async hangUp(legs) {
    if (legs.length === 0) return;
    const found = await ask({
      title: legs.length === 1 ? `Hang up ${peer(legs[0])}?` : `Hang up ${count(legs.length, "leg")}?`,
      text: legs.length === 1 ? "" : `${legs.slice(0, 3).map(peer).join(", ")}${legs.length > 3 ? " and others" : ""}.`,
      confirm: legs.length === 1 ? "Hang up" : `Hang up ${count(legs.length, "leg")}`,
      danger: true,
    });
    if (found !== null) await this.each(legs, "hanging up", (leg) => this.connection.command("delete_leg", { id: leg.id }));
  }

  mute(legs, on) {
    const command = on ? "mute_leg" : "unmute_leg";
    return this.each(legs, on ? "muted" : "unmuted", (leg) => this.connection.command(command, { id: leg.id }));
  }

  // The same for each of them, some at a time; said once what came of it.
  async each(legs, said, run) {
    const errors = [];
    for (let at = 0; at < legs.length; at += MOST_AT_ONCE) {
      const some = await Promise.allSettled(legs.slice(at, at + MOST_AT_ONCE).map(run));
      for (const one of some) if (one.status === "rejected") errors.push(one.reason);
    }
    const done = legs.length - errors.length;
    if (done) toast(`${count(done, "leg")} ${said}.`);
    if (errors.length) toast(`${count(errors.length, "leg")} not: ${words(errors[0])}`, true);
  }
}
