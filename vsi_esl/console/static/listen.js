// Listening in: this browser as a leg of a room, muted before it is in it. The others see it as a leg with the
// role "listening-in". It asks for no microphone: what it sends is silence made here.

import { LISTENER_ROLE } from "./format.js";
import { toast, words } from "./toasts.js";

const CONNECT_TIMEOUT_MS = 20_000;
const ALONE_MS = 2000;

export class Listening {
  // `changed()` is called when something is to be painted.
  constructor(model, connection, changed) {
    this.model = model;
    this.connection = connection;
    this.changed = changed;
    this.element = document.createElement("audio");
    this.forget();
  }

  forget() {
    this.room = "";
    this.leg = "";
    this.joined = false;
    this.peer = null;
    this.sound = null;
    this.settle = null;
    this.alone = 0;
  }

  get state() {
    if (!this.room) return "";
    return this.joined ? "listening" : "connecting";
  }

  async start(roomId) {
    this.stop();
    this.room = roomId;
    this.changed();
    const peer = new RTCPeerConnection();
    this.peer = peer;
    try {
      await this.connect(peer);
      if (peer !== this.peer) return;
      await this.connection.command("add_leg_to_room", {
        room_id: roomId,
        leg_id: this.leg,
        mute: true,
        accept_dtmf: false,
        role: LISTENER_ROLE,
      });
      if (peer !== this.peer) return;
      this.joined = true;
      toast(`Listening to ${roomId}. Nobody hears you.`);
      this.changed();
    } catch (error) {
      if (peer !== this.peer) return;
      this.stop();
      toast(`Cannot listen in: ${words(error)}`, true);
    }
  }

  async connect(peer) {
    this.sound = new AudioContext();
    const silence = new MediaStreamAudioDestinationNode(this.sound, { channelCount: 1 });
    peer.addTrack(silence.stream.getAudioTracks()[0], silence.stream);
    peer.ontrack = ({ track }) => {
      this.element.srcObject = new MediaStream([track]);
      this.element.play().catch(() => toast("The browser does not let this page play sound.", true));
    };
    await peer.setLocalDescription(await peer.createOffer());
    const app = this.model.rooms.get(this.room)?.app_id;
    const offer = { sdp: peer.localDescription.sdp, ...(app ? { app_id: app } : {}) };
    const media = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
      setTimeout(() => reject(new Error("no audio came; is UDP to the switch let through?")), CONNECT_TIMEOUT_MS);
    });
    media.catch(() => {}); // what fails before it is waited for is told all the same
    const made = await this.connection.command("webrtc_offer", offer);
    if (peer !== this.peer) {
      this.connection.command("delete_leg", { id: made.leg_id }).catch(() => {});
      return;
    }
    this.leg = made.leg_id;
    if (this.model.legs.get(this.leg)?.state === "connected") this.settle.resolve(); // its event was faster
    await peer.setRemoteDescription({ type: "answer", sdp: made.sdp });
    const { candidates } = await this.connection.command("webrtc_get_candidates", { id: this.leg });
    for (const candidate of candidates) await peer.addIceCandidate(candidate);
    await media;
  }

  // An event of the service, which may be about our leg.
  happened(event) {
    if (!this.leg || event.leg_id !== this.leg) return;
    if (event.type === "leg.connected") this.settle?.resolve();
    else if (event.type === "leg.disconnected") {
      this.settle?.reject(new Error(`the leg ended: ${event.cdr?.reason ?? ""}`));
      if (this.joined) {
        this.stop();
        toast("Listening has ended.");
      }
    }
  }

  // The model has changed: whoever only listens is not to keep a recording going.
  look() {
    if (!this.joined) return;
    const listened = this.model.legsOf(this.room).some((leg) => leg.role !== LISTENER_ROLE);
    const gone = !this.model.legs.has(this.leg);
    if (listened && !gone) this.alone = 0;
    else if (!this.alone) this.alone = Date.now();
    else if (Date.now() - this.alone > ALONE_MS) {
      this.stop();
      toast("Listening has ended: nobody is left in the room.");
    }
  }

  // Leave. `last` when the page goes, and there is no time for an answer.
  stop(last = false) {
    if (!this.room) return;
    const { leg, peer, sound, settle } = this;
    this.forget();
    settle?.reject(new Error("given up"));
    if (leg && last) this.connection.post("delete_leg", { id: leg });
    else if (leg) this.connection.command("delete_leg", { id: leg }).catch(() => {}); // it ends without its media
    peer?.close();
    sound?.close();
    this.element.srcObject = null;
    this.changed();
  }

  set volume(value) {
    this.element.volume = value;
  }

  get volume() {
    return this.element.volume;
  }
}
