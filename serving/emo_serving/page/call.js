// A live call: sends the microphone's samples to /v1/stream and receives emotion events.
const INTERVAL_MS = 200;

// A subprotocol must not contain the characters "=", "/" and "+", which a token may have.
function base64url(text) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export class LiveCall {
  constructor({ token, onEvent, onLevel, onEnd }) {
    Object.assign(this, { token, onEvent, onLevel, onEnd });
  }

  async begin(text) {
    this.media = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule("/page/collector.js");
    await this.open(text);
    const source = this.context.createMediaStreamSource(this.media);
    this.node = new AudioWorkletNode(this.context, "collector", { numberOfOutputs: 0 });
    this.node.port.onmessage = ({ data }) => this.sendSamples(data);
    source.connect(this.node);
  }

  open(text) {
    const address = new URL("/v1/stream", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const protocols = ["emo-stream"];
    if (this.token) protocols.push(`bearer64.${base64url(this.token)}`);
    this.socket = new WebSocket(address, protocols);
    this.socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    return new Promise((done, failed) => {
      this.socket.onclose = () => {
        failed(new Error("The server refused the call: it is busy, or stopping."));
        this.close();
      };
      this.socket.onopen = () => {
        this.send("start", {
          mediaFormat: { encoding: "pcm_f32le", sampleRate: this.context.sampleRate, channels: 1 },
          customParameters: { interval_ms: INTERVAL_MS, text },
        });
        done();
      };
    });
  }

  sendSamples(samples) {
    let peak = 0;
    for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
    this.onLevel(peak);
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(samples);
  }

  setText(text) {
    this.send("transcript", { text });
  }

  finish() {
    this.stopMicrophone();
    this.send("stop", {});
  }

  receive(event) {
    this.onEvent(event);
    if (event.final || (event.event === "error" && !this.node)) this.close();
  }

  send(name, body) {
    if (this.socket?.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify({ event: name, [name]: body }));
    }
  }

  stopMicrophone() {
    this.media?.getTracks().forEach((track) => track.stop());
    if (this.context && this.context.state !== "closed") this.context.close();
    this.node = null;
  }

  close() {
    if (this.ended) return;
    this.ended = true;
    this.stopMicrophone();
    this.socket?.close();
    this.onEnd();
  }
}
