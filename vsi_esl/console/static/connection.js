// The connection to the service: the VSI WebSocket, what else is asked of it, and coming back after a loss.
//
// The token is in no URL if its characters can stand in a header that browsers let pages set: the WebSocket's
// subprotocols. Events are told in order, each once: a new connection says which was the last.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
const COMMAND_TIMEOUT_MS = 60_000;
const OPEN_TIMEOUT_MS = 10_000;
const FETCH_TIMEOUT_MS = 15_000;
const UNKNOWN_WAIT_MS = 1000;
const MOST_BUFFERED = 100_000;
const HEADER_TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const POLICY_VIOLATION = 1008;

const BASE = new URL(".", location.href);

class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class Connection {
  // Callbacks: `state(name, details)`, `loaded(state)`, `event(event)`, `lost(count)`.
  // States: connecting, live, waiting (details: seconds, reason), token (details: reason), off.
  constructor(callbacks) {
    this.callbacks = callbacks;
    this.token = "";
    this.since = "";
    this.socket = null;
    this.pending = new Map();
    this.number = 0;
    this.buffer = null;
    this.wait = FIRST_WAIT_MS;
    this.timer = 0;
    this.attempt = 0;
    this.state = "off";
    this.loading = null;
  }

  // Begin, or begin anew with another token.
  open(token) {
    this.close();
    this.token = token;
    this.wait = FIRST_WAIT_MS;
    this.connect();
  }

  close() {
    clearTimeout(this.timer);
    this.attempt += 1;
    this.drop();
    this.set("off");
  }

  // Try again now instead of when it is time.
  retry() {
    if (this.state !== "waiting") return;
    clearTimeout(this.timer);
    this.connect();
  }

  // The connection is taken for dead, since the service did not answer otherwise.
  suspect() {
    if (this.state === "live") this.failed(this.attempt, "the service does not answer");
  }

  set(name, details = {}) {
    this.state = name;
    this.callbacks.state(name, details);
  }

  drop() {
    const socket = this.socket;
    this.socket = null;
    this.buffer = null;
    this.loading = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
      socket.close();
    }
    for (const { reject, timer } of this.pending.values()) {
      clearTimeout(timer);
      reject(new Refusal(0, "the connection was lost before it was answered"));
    }
    this.pending.clear();
  }

  async connect() {
    this.attempt += 1;
    const attempt = this.attempt;
    this.set("connecting");
    try {
      await this.get("console/state"); // a page is not told why a WebSocket is refused
      if (attempt !== this.attempt) return;
      await this.openSocket(attempt);
      if (attempt !== this.attempt) return;
      await this.load();
      if (attempt !== this.attempt) return;
      this.wait = FIRST_WAIT_MS;
      this.set("live");
    } catch (error) {
      if (attempt !== this.attempt) return;
      if (error.code === 401) {
        this.drop();
        this.set("token", { reason: this.token ? error.message : "" });
      } else {
        this.failed(attempt, error.message);
      }
    }
  }

  failed(attempt, reason) {
    if (attempt !== this.attempt) return;
    this.attempt += 1;
    this.drop();
    const wait = this.wait * (0.75 + Math.random() / 2);
    this.wait = Math.min(LONGEST_WAIT_MS, this.wait * 2);
    this.timer = setTimeout(() => this.connect(), wait);
    this.set("waiting", { reason, until: Date.now() + wait });
  }

  openSocket(attempt) {
    const url = new URL("v1/vsi", BASE);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    let protocols = [];
    if (this.token && HEADER_TOKEN.test(this.token)) protocols = ["vsi", `bearer.${this.token}`];
    else if (this.token) url.searchParams.set("token", this.token);
    if (this.since) url.searchParams.set("since", this.since);
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, protocols);
      const timer = setTimeout(() => reject(new Refusal(0, "the service does not answer")), OPEN_TIMEOUT_MS);
      const connected = () => {
        clearTimeout(timer);
        resolve();
      };
      this.socket = socket;
      this.buffer = [];
      socket.onmessage = ({ data }) => this.take(data, connected);
      socket.onclose = ({ code, reason }) => {
        clearTimeout(timer);
        reject(new Refusal(0, "the connection was refused"));
        if (attempt !== this.attempt) return;
        if (code === POLICY_VIOLATION) {
          this.attempt += 1;
          this.drop();
          this.set("token", { reason });
        } else if (this.state === "live") {
          this.failed(attempt, reason || "the connection was lost");
        }
      };
    });
  }

  take(data, connected) {
    const frame = JSON.parse(data);
    if (frame.request_id !== undefined) this.answered(frame);
    else if (frame.type === "connected") connected();
    else if (frame.type === "ping") this.socket.send('{"type":"pong"}');
    else if (frame.type === "events_dropped") {
      this.callbacks.lost(frame.count);
      this.reload();
    } else if (frame.event_id !== undefined) this.happened(frame);
  }

  happened(event) {
    this.since = event.event_id;
    if (this.buffer === null) this.callbacks.event(event);
    else if (this.buffer.length < MOST_BUFFERED) this.buffer.push(event);
    else this.suspect();
  }

  answered(frame) {
    const waiting = this.pending.get(frame.request_id);
    if (waiting === undefined) return;
    this.pending.delete(frame.request_id);
    clearTimeout(waiting.timer);
    if (frame.type === "error") waiting.reject(new Refusal(frame.data.code, frame.data.message));
    else waiting.resolve(frame.data);
  }

  // What there is now. Events that come meanwhile are told behind it: they may be older than it, but told in
  // order they lead to what is.
  load() {
    this.loading ??= this.loadOnce().finally(() => {
      this.loading = null;
    });
    return this.loading;
  }

  async loadOnce() {
    const attempt = this.attempt;
    this.buffer ??= [];
    try {
      const state = await this.get("console/state");
      if (attempt === this.attempt) {
        this.callbacks.loaded(state);
        if (state.unknown.length > 0) this.lookAgain(attempt);
      }
    } finally {
      if (attempt === this.attempt) {
        const events = this.buffer ?? [];
        this.buffer = null;
        for (const event of events) this.callbacks.event(event);
      }
    }
  }

  // There are switches whose calls the service has not looked at yet.
  lookAgain(attempt) {
    setTimeout(() => {
      if (attempt === this.attempt) this.reload();
    }, UNKNOWN_WAIT_MS);
  }

  // The same for a connection that stands. That it fails is told by the connection's own end, or the next time.
  reload() {
    return this.load().catch(() => {});
  }

  // Run a command; its data, or a Refusal with the service's own words.
  command(name, payload = {}) {
    if (this.socket?.readyState !== WebSocket.OPEN) return Promise.reject(new Refusal(0, "not connected"));
    this.number += 1;
    const id = String(this.number);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.pending.delete(id);
        reject(new Refusal(0, "no answer within a minute; it may be done later"));
      }, COMMAND_TIMEOUT_MS);
      this.pending.set(id, { resolve, reject, timer });
      this.socket.send(JSON.stringify({ type: name, request_id: id, payload }));
    });
  }

  // Say something without waiting, as when the page goes.
  post(name, payload) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: name, payload }));
  }

  // JSON, or text, of another path. Refusal when it is not answered with 200, or `also`.
  async get(path, { also = 0, text = false } = {}) {
    const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    let answer;
    try {
      answer = await fetch(new URL(path, BASE), {
        headers,
        cache: "no-store",
        signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
      });
    } catch {
      throw new Refusal(0, "the service cannot be reached");
    }
    if (answer.ok || answer.status === also) return text ? answer.text() : answer.json();
    const body = await answer.json().catch(() => ({}));
    throw new Refusal(answer.status, body.error ?? answer.statusText);
  }
}
