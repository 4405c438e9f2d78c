// What a page of a test does with WebRTC: peers by name, each with a tone that it sends and ears for what it gets.
const peers = {};
const sound = new AudioContext({ sampleRate: 48000 });

// `frequency` in Hz, 0 for silence; `gather` waits for the candidates, else the offer has none.
async function offer(name, { frequency = 440, gather = false, video = false, mayHear = true, config = {} } = {}) {
  const pc = new RTCPeerConnection(config);
  const peer = { pc, candidates: [], states: [], started: performance.now() };
  peers[name] = peer;
  pc.onicecandidate = ({ candidate }) => peer.candidates.push(candidate ? candidate.toJSON() : null);
  pc.onconnectionstatechange = () => peer.states.push(pc.connectionState);
  peer.oscillator = new OscillatorNode(sound, { frequency: frequency || 440 });
  peer.gain = new GainNode(sound, { gain: frequency ? 0.5 : 0 });
  const out = new MediaStreamAudioDestinationNode(sound, { channelCount: 1 });
  peer.oscillator.connect(peer.gain).connect(out);
  peer.oscillator.start();
  peer.sender = pc.addTrack(out.stream.getAudioTracks()[0], out.stream);
  if (!mayHear) pc.getTransceivers()[0].direction = "sendonly";
  if (video) pc.addTransceiver("video");
  pc.ontrack = ({ track, streams }) => listen(peer, new MediaStream([track]));
  const made = await pc.createOffer();
  const gathered = new Promise((done) => {
    pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && done();
  });
  await pc.setLocalDescription(made);
  if (gather) await gathered;
  return gather ? pc.localDescription.sdp : made.sdp;
}

function listen(peer, stream) {
  // Chromium gives no remote audio to WebAudio unless an element plays it as well
  peer.element = new Audio();
  peer.element.srcObject = stream;
  peer.element.play();
  peer.analyser = new AnalyserNode(sound, { fftSize: 8192, smoothingTimeConstant: 0 });
  sound.createMediaStreamSource(stream).connect(peer.analyser);
}

async function answer(name, sdp) {
  await peers[name].pc.setRemoteDescription({ type: "answer", sdp });
}

async function remoteCandidate(name, candidate) {
  await peers[name].pc.addIceCandidate(candidate);
}

function says(name, frequency) {
  peers[name].gain.gain.value = frequency ? 0.5 : 0;
  if (frequency) peers[name].oscillator.frequency.value = frequency;
}

// The samples of the last 170 ms that it hears, 48 kHz.
function heard(name) {
  const analyser = peers[name].analyser;
  if (!analyser) return [];
  const samples = new Float32Array(8192);
  analyser.getFloatTimeDomainData(samples);
  return Array.from(samples);
}

// Milliseconds from now on until something is heard, or null when nothing was within `limit`.
async function firstSound(name, limit) {
  const end = performance.now() + limit;
  const samples = new Float32Array(256);
  while (performance.now() < end) {
    const analyser = peers[name].analyser;
    if (analyser) {
      analyser.getFloatTimeDomainData(samples);
      if (samples.some((one) => Math.abs(one) > 0.02)) return performance.now();
    }
    await new Promise((done) => setTimeout(done, 2));
  }
  return null;
}

async function figures(name) {
  const found = { state: peers[name].pc.connectionState, states: peers[name].states };
  for (const row of (await peers[name].pc.getStats()).values()) {
    if (row.type === "inbound-rtp") {
      Object.assign(found, { received: row.bytesReceived, level: row.audioLevel, energy: row.totalAudioEnergy });
    }
    if (row.type === "outbound-rtp") Object.assign(found, { sent: row.bytesSent });
    if (row.type === "codec") found.codec = row.mimeType;
  }
  return found;
}

function dtmf(name, digits) {
  peers[name].sender.dtmf.insertDTMF(digits, 100, 70);
}

function close(name) {
  peers[name].pc.close();
}
