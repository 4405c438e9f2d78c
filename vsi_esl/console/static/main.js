// Puts the parts of the page together: the connection tells the model, and what has changed is painted.

import { choice, choose, keepToken, keptToken } from "./access.js";
import { Actions } from "./actions.js";
import { Connection } from "./connection.js";
import { el, setAttribute, setHidden, setText } from "./dom.js";
import { EventLog } from "./eventlog.js";
import { help, listenToKeys } from "./keys.js";
import { Listening } from "./listen.js";
import { Metrics } from "./metrics.js";
import { Model } from "./model.js";
import { Painter } from "./paint.js";
import { words } from "./toasts.js";
import { Detail } from "./views/detail.js";
import { EventsView } from "./views/events.js";
import { LegsView } from "./views/legs.js";
import { RoomsView } from "./views/rooms.js";
import { SignIn } from "./views/signin.js";
import { SystemView, troubles } from "./views/system.js";

const READY_EVERY_MS = 10_000;
const FIGURES_EVERY_MS = 10_000;
const LOOK_EVERY_MS = 60_000;
// Of a call that came since nobody has told which switch has it.
const SWITCHES_EVERY_MS = 3_000;
const ASK_TOGETHER_MS = 100;
const ASK_ONE_BY_ONE = 10;
const THEMES = ["auto", "light", "dark"];
const THEME_NAMES = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };

const byId = (id) => document.getElementById(id);

class App {
  constructor() {
    this.model = new Model();
    this.log = new EventLog();
    this.health = {
      readiness: null,
      readinessError: "",
      metrics: new Metrics(),
      figuresError: "",
      webhooks: null,
      webhooksError: "",
    };
    this.connection = new Connection({
      state: (name, details) => this.connectionIs(name, details),
      loaded: (state) => this.loaded(state),
      event: (event) => this.happened(event),
      lost: (number) => this.lost(number),
    });
    this.listening = new Listening(this.model, this.connection, () => this.again());
    this.actions = new Actions(this.model, this.connection, this.listening);
    this.selection = { kind: "", id: "" };
    this.state = "connecting";
    this.details = {};
    this.wanted = { legs: new Set(), rooms: new Set() };
    this.painter = new Painter(() => this.paint());
    this.whole = true;
    this.views = { legs: new LegsView(this), rooms: new RoomsView(this), events: new EventsView(this), system: new SystemView(this) };
    this.signIn = new SignIn((token) => this.signInWith(token));
    this.detail = new Detail(this, byId("detail"));
    this.makeTabs();
    this.makeHead();
    this.follow();
    addEventListener("hashchange", () => this.follow());
    addEventListener("pagehide", () => this.listening.stop(true));
    document.addEventListener("visibilitychange", () => this.again());
    listenToKeys(this.keys());
    setInterval(() => this.tick(), 1000);
    setInterval(() => this.lookAtReadiness(), READY_EVERY_MS);
    setInterval(() => this.lookAtFigures(), FIGURES_EVERY_MS);
    setInterval(() => !document.hidden && this.state === "live" && this.connection.reload(), LOOK_EVERY_MS);
    setInterval(() => this.lookForSwitches(), SWITCHES_EVERY_MS);
    this.connection.open(keptToken());
    this.lookAtReadiness();
  }

  // ---- what is shown --------------------------------------------------------------------------------------

  // Paint what has changed.
  ask() {
    this.painter.ask();
  }

  // Paint everything.
  again() {
    this.whole = true;
    this.painter.ask();
  }

  makeTabs() {
    this.tabs = Object.entries(this.views).map(([name, view], at) => {
      const number = el("span", { class: "count" });
      const node = el("a", { href: `#/${name}`, "aria-keyshortcuts": String(at + 1) }, view.title, " ", number);
      return { name, view, node, number };
    });
    byId("tabs").append(...this.tabs.map(({ node }) => node));
  }

  makeHead() {
    byId("help").addEventListener("click", help);
    byId("signout").addEventListener("click", () => this.signOut());
    this.showTheme();
    byId("theme").addEventListener("click", () => {
      choose("theme", THEMES[(THEMES.indexOf(choice("theme", "auto")) + 1) % THEMES.length]);
      this.showTheme();
    });
  }

  showTheme() {
    const theme = choice("theme", "auto");
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    setText(byId("theme"), THEME_NAMES[theme] ?? THEME_NAMES.auto);
  }

  get view() {
    return this.views[this.viewName];
  }

  // Where the address says that we are: #/legs, #/legs/ID, #/rooms/ID, #/events, #/system.
  follow() {
    const [, name, id] = /^#\/(\w+)(?:\/(.*))?$/.exec(location.hash) ?? [];
    this.viewName = name in this.views ? name : "legs";
    const kind = this.viewName === "legs" ? "leg" : this.viewName === "rooms" ? "room" : "";
    this.selection = kind && id ? { kind, id: decoded(id) } : { kind: "", id: "" };
    document.title = `${this.view.title} - vsi_esl console`;
    this.again();
    if (this.viewName === "system") this.look();
    if (kind && id) this.focusDetail = true;
  }

  select(kind, id) {
    const name = kind === "leg" ? "legs" : kind === "room" ? "rooms" : this.viewName;
    const before = this.selection;
    this.opener = kind ? document.activeElement : this.opener;
    location.hash = kind ? `#/${name}/${encodeURIComponent(id)}` : `#/${name}`;
    if (!kind && before.kind) this.focusAgain = true;
  }

  showEvents(kind, id) {
    this.views.events.only(kind, id);
    location.hash = "#/events";
  }

  paint() {
    const { model } = this;
    const changes = this.whole ? null : model.clean();
    if (this.whole) model.clean();
    this.whole = false;
    const signingIn = this.state === "token";
    const place = byId("content");
    const node = signingIn ? this.signIn.node : this.view.node;
    if (place.firstChild !== node) {
      place.replaceChildren(node);
      if (signingIn) this.signIn.focus();
    }
    setHidden(byId("tabs"), signingIn);
    this.paintHead();
    this.paintListening();
    if (signingIn) {
      setHidden(byId("detail"), true);
      return;
    }
    for (const tab of this.tabs) {
      setAttribute(tab.node, "aria-current", tab.name === this.viewName ? "page" : null);
      setText(tab.number, tab.view.tab === null ? "" : String(tab.view.tab));
    }
    this.view.paint(changes);
    this.detail.paint(changes);
    this.moveFocus();
  }

  moveFocus() {
    if (this.focusDetail) {
      this.focusDetail = false;
      byId("detail").querySelector("h2")?.focus({ preventScroll: true });
    } else if (this.focusAgain) {
      this.focusAgain = false;
      if (this.opener?.isConnected) this.opener.focus({ preventScroll: true });
      else this.view.table?.focus();
    }
  }

  paintHead() {
    const { model, state } = this;
    setText(byId("instance"), model.instance);
    const { name, scope, app_id } = model.you;
    const who = [name, scope === "admin" && !name ? "" : scope, app_id ? `only ${app_id}` : ""].filter(Boolean).join(" · ");
    setText(byId("who"), state === "token" ? "" : who);
    setHidden(byId("signout"), !this.connection.token || state === "token");
    const items = [
      state === "live" ? ["good", "Live"] : state === "connecting" ? ["warn", "Connecting"] : ["bad", "Not connected"],
      ...troubles(this.health),
    ];
    const mark = JSON.stringify(items);
    if (mark !== this.healthMark) {
      this.healthMark = mark;
      byId("health").replaceChildren(...items.map(([kind, text]) => el("li", { class: `light ${kind}`, text })));
    }
    this.paintBanner();
  }

  paintBanner() {
    const banner = byId("banner");
    const waiting = this.state === "waiting" || (this.state === "connecting" && this.wasLost);
    setHidden(banner, !waiting);
    if (!waiting) {
      banner.replaceChildren();
      return;
    }
    if (!banner.firstChild) {
      this.bannerWait = el("span", { "aria-live": "off" });
      const retry = el("button", { type: "button", text: "Try now", on: { click: () => this.connection.retry() } });
      this.bannerText = el("strong");
      banner.append(this.bannerText, this.bannerWait, retry);
    }
    setText(this.bannerText, `Not connected: ${this.reason}. What is shown may be old; the calls go on.`);
    const left = Math.max(0, Math.ceil(((this.details.until ?? 0) - Date.now()) / 1000));
    setText(this.bannerWait, this.state === "waiting" ? `Next attempt in ${left} s.` : "Trying…");
  }

  paintListening() {
    const bar = byId("listening");
    const { state, room } = this.listening;
    setHidden(bar, !state);
    document.body.classList.toggle("is-listening", Boolean(state));
    const mark = `${state} ${room}`;
    if (mark === this.listeningMark) return;
    this.listeningMark = mark;
    if (!state) {
      bar.replaceChildren();
      return;
    }
    const volume = el("input", { type: "range", min: "0", max: "1", step: "0.05", id: "volume" });
    volume.value = String(this.listening.volume);
    volume.addEventListener("input", () => {
      this.listening.volume = Number(volume.value);
    });
    bar.replaceChildren(
      el("span", {}, el("strong", { text: state === "listening" ? "Listening to " : "Connecting to " }), room),
      el("span", { class: "quiet", text: "Nobody hears you." }),
      el("label", { for: "volume", text: "Volume" }),
      volume,
      el("button", { type: "button", class: "danger", text: "Stop listening", on: { click: () => this.listening.stop() } }),
    );
  }

  // What goes on without events: durations, and the wait for the next attempt.
  tick() {
    this.listening.look();
    if (document.hidden) return;
    if (this.state !== "token") {
      this.view.tick();
      this.detail.tick();
    }
    if (this.state === "waiting") this.paintBanner();
  }

  // ---- what happens ---------------------------------------------------------------------------------------

  connectionIs(name, details) {
    this.state = name;
    this.details = details;
    if (name === "live") this.wasLost = false;
    if (name === "waiting") {
      this.wasLost = true;
      this.reason = details.reason;
    }
    if (name === "token") {
      this.listening.stop();
      keepToken("");
      this.log.clear(); // who signs in next may not be allowed what has been told
      this.signIn.show(details.reason);
    }
    if (name === "live") {
      keepToken(this.connection.token);
      this.lookAtReadiness();
      this.lookAtFigures();
    }
    this.again();
  }

  loaded(state) {
    this.model.load(state);
    this.again();
  }

  happened(event) {
    this.log.add(event);
    const asked = this.model.apply(event);
    if (asked) this.askFor(asked);
    this.listening.happened(event);
    this.actions.happened(event);
    this.painter.ask();
  }

  lost(number) {
    this.log.addLoss(number);
    this.painter.ask();
  }

  // Ask the service for what an event did not tell; for much of it once for all.
  askFor({ legs, rooms }) {
    if (this.wanted.legs.size + this.wanted.rooms.size === 0) setTimeout(() => this.askNow(), ASK_TOGETHER_MS);
    for (const id of legs) this.wanted.legs.add(id);
    for (const id of rooms) this.wanted.rooms.add(id);
  }

  async askNow() {
    const { legs, rooms } = this.wanted;
    this.wanted = { legs: new Set(), rooms: new Set() };
    const { connection, model } = this;
    const some = async (ids, one, all, learn) => {
      const few = ids.size <= ASK_ONE_BY_ONE;
      const asked = few ? [...ids].map((id) => connection.command(one, { id })) : [connection.command(all)];
      for (const answer of await Promise.allSettled(asked)) {
        // one that is refused has ended meanwhile, which its event tells
        if (answer.status === "fulfilled") for (const view of [answer.value].flat()) learn(view);
      }
    };
    await Promise.all([
      some(legs, "get_leg", "list_legs", (view) => model.learnLeg(view)),
      some(rooms, "get_room", "list_rooms", (view) => model.learnRoom(view)),
    ]);
    this.painter.ask();
  }

  signInWith(token) {
    this.signIn.show("");
    this.connection.since = "";
    this.connection.open(token);
  }

  signOut() {
    this.listening.stop();
    keepToken("");
    this.connection.close();
    this.connection.since = "";
    this.log.clear();
    this.model.load({ now: Date.now() / 1000, you: { name: "", scope: "read", app_id: "" }, version: "", instance_id: "", legs: [], rooms: [], bridges: [], recordings: [], playbacks: [], agents: [], transcriptions: [] });
    this.health.metrics = new Metrics();
    this.health.webhooks = null;
    this.select("", "");
    this.connection.open("");
  }

  // ---- health ---------------------------------------------------------------------------------------------

  look() {
    this.lookAtReadiness();
    this.lookAtFigures();
  }

  get severalSwitches() {
    return Boolean(this.health.readiness?.switches);
  }

  lookForSwitches() {
    if (document.hidden || this.state !== "live" || !this.severalSwitches) return;
    if ([...this.model.legs.values()].some((leg) => leg.switch === undefined)) this.connection.reload();
  }

  async lookAtReadiness() {
    const { health } = this;
    try {
      health.readiness = await this.connection.get("readyz", { also: 503 });
      health.readinessError = "";
    } catch (error) {
      if (health.readinessError) this.connection.suspect();
      health.readinessError = words(error);
    }
    this.ask();
  }

  async lookAtFigures() {
    if (this.state !== "live" || document.hidden) return;
    const { health, model } = this;
    if (!model.you.app_id) {
      try {
        health.metrics.read(await this.connection.get("metrics", { text: true }));
        health.figuresError = "";
      } catch (error) {
        health.figuresError = words(error);
      }
    } else health.figuresError = "The figures are about all calls, and not for a token that is confined to an application.";
    if (this.viewName === "system") await this.lookAtWebhooks();
    this.ask();
  }

  async lookAtWebhooks() {
    const { health, model } = this;
    if (model.you.scope !== "admin") {
      health.webhooksError = "Which webhooks wait and which were given up is listed for admin tokens.";
      return;
    }
    try {
      health.webhooks = await this.connection.get("console/webhooks");
      health.webhooksError = "";
    } catch (error) {
      health.webhooksError = words(error);
    }
  }

  // ---- keys -----------------------------------------------------------------------------------------------

  // What a key is about: the row that has the focus, else what is shown in detail.
  get subject() {
    const { model } = this;
    const focused = this.view.table?.focused;
    if (focused) return { kind: this.viewName === "legs" ? "leg" : "room", item: focused };
    const { kind, id } = this.selection;
    const item = kind === "leg" ? model.legs.get(id) : model.rooms.get(id);
    return { kind, item };
  }

  act(key) {
    const { kind, item } = this.subject;
    if (item === undefined) return false;
    const list = kind === "leg" ? this.actions.ofLeg(item) : this.actions.ofRoom(item);
    const action = list.find((one) => one.key === key);
    if (action === undefined) return false;
    action.run();
    return true;
  }

  keys() {
    const go = (name) => () => {
      location.hash = `#/${name}`;
    };
    const handlers = { "?": help, 1: go("legs"), 2: go("rooms"), 3: go("events"), 4: go("system") };
    for (const key of ["a", "m", "d", "h", "r", "p", "l"]) handlers[key] = () => this.act(key);
    handlers["/"] = () => {
      const field = this.view.search ?? this.view.inputs?.type;
      field?.focus();
      return Boolean(field);
    };
    handlers.x = () => {
      const { table } = this.view;
      if (!table?.focused) return false;
      table.toggle(table.idOf(table.focused));
      return true;
    };
    handlers.Delete = () => this.deletePressed();
    handlers.s = () => {
      if (this.viewName !== "events") return false;
      this.views.events.pause();
      return true;
    };
    handlers.Escape = () => {
      if (!this.selection.kind) return false;
      this.select("", "");
      return true;
    };
    return handlers;
  }

  deletePressed() {
    const marked = this.viewName === "legs" ? this.views.legs.table.markedItems : [];
    const { kind, item } = this.subject;
    if (!this.model.mayControl) return false;
    if (marked.length) this.actions.hangUp(marked);
    else if (kind === "leg" && item) this.actions.hangUp([item]);
    else if (kind === "room" && item) this.actions.deleteRoom(item);
    else return false;
    return true;
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

new App();

