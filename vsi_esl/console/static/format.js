// How things are written for people.

const STATES = {
  ringing: "Ringing",
  early_media: "Early media",
  connected: "Connected",
  held: "On hold",
};
const TYPES = {
  sip_inbound: "SIP in",
  sip_outbound: "SIP out",
  whatsapp_in: "WhatsApp in",
  whatsapp_out: "WhatsApp out",
  websocket_in: "WebSocket in",
  websocket_out: "WebSocket out",
  webrtc: "Browser",
};

export const LISTENER_ROLE = "listening-in";

export function stateName(state) {
  return STATES[state] ?? state;
}

export function typeName(type) {
  return TYPES[type] ?? type;
}

// 0:42, 12:03, 1:02:03.
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

// The beginning of an id that is long and random; a name that somebody has chosen stays whole.
export function shortId(id) {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-/i.test(id) ? id.slice(0, 8) : id;
}

// Time of day with milliseconds, from an RFC 3339 timestamp.
export function clockTime(timestamp) {
  const date = new Date(timestamp);
  if (Number.isNaN(date.getTime())) return "";
  const two = (number) => String(number).padStart(2, "0");
  const millis = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${millis}`;
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

// Who a leg's peer is, and what it called or is called as.
export function peer(leg) {
  if (leg.role === LISTENER_ROLE) return "Listening in";
  return (isOutbound(leg) ? leg.uri || leg.to : leg.from) || (leg.type === "webrtc" ? "Browser" : "unknown");
}

export function called(leg) {
  return isOutbound(leg) ? leg.from || "" : leg.to || "";
}

export function isOutbound(leg) {
  return leg.type.endsWith("_out") || leg.type.endsWith("_outbound");
}

export function seconds(value) {
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  return value < 90 ? `${value.toFixed(1)} s` : `${Math.round(value / 60)} min`;
}
