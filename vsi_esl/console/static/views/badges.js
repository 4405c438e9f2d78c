// What stands in frames beside a leg or room: what it is, and what runs on it.

import { LISTENER_ROLE } from "../format.js";

export function ofLeg(model, leg) {
  const found = [];
  if (leg.speaking) found.push(["Speaking", "speaking"]);
  if (leg.role === LISTENER_ROLE) found.push(["Listening in", "info"]);
  if (leg.muted) found.push(["Muted", "warn"]);
  if (leg.deaf) found.push(["Deaf", "warn"]);
  if (leg.transfer) found.push(["Transfer", "info"]);
  return [...found, ...running(model, `leg ${leg.id}`)];
}

export function ofRoom(model, room) {
  const bridges = model.bridgesOf(room.id).length;
  const routed = Object.keys(room.matrix).length > 0;
  return [
    ...running(model, `room ${room.id}`),
    ...(bridges ? [[bridges === 1 ? "Bridged" : `${bridges} bridges`, "info"]] : []),
    ...(routed ? [["Routed", "info"]] : []),
  ];
}

function running(model, key) {
  const found = [];
  const recording = model.recordings.get(key);
  if (recording) found.push([recording.paused ? "Rec. paused" : "Recording", "recording"]);
  if (model.playbacksOf(key).length) found.push(["Playing", "info"]);
  if (model.agents.has(key)) found.push(["Agent", "info"]);
  if (model.transcriptions.has(key)) found.push(["Transcribed", "info"]);
  return found;
}

// Who is in a room, by name, the speaking first.
export function speakers(model, room) {
  return model.legsOf(room.id).sort((one, other) => Number(Boolean(other.speaking)) - Number(Boolean(one.speaking)));
}
