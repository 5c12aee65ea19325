// A live call: samples in 16 bits to /v1/stream, events back.
import { bundleQuery, getToken } from "/page/api.js";

// A subprotocol must not contain the characters "=", "/" and "+", which a token may have.
function base64url(text) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export class Stream {
  constructor({ onEvent, onClose }) {
    const address = new URL(`/v1/stream${bundleQuery()}`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const protocols = ["emo-stream"];
    if (getToken()) protocols.push(`bearer64.${base64url(getToken())}`);
    this.waiting = []; // messages before the connection is open
    this.socket = new WebSocket(address, protocols);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      for (const message of this.waiting) this.socket.send(message);
      this.waiting = [];
    };
    this.socket.onmessage = ({ data }) => onEvent(JSON.parse(data));
    this.socket.onclose = onClose;
  }

  start(sampleRate, text, intervalMs, task) {
    const mediaFormat = { encoding: "pcm_s16le", sampleRate, channels: 1 };
    const customParameters = { interval_ms: intervalMs, text, task };
    this.event("start", { mediaFormat, customParameters });
  }

  samples(block) {
    this.send(block);
  }

  event(name, body = {}) {
    this.send(JSON.stringify({ event: name, [name]: body }));
  }

  close() {
    this.socket.onmessage = null;
    this.socket.onclose = null;
    this.socket.close();
  }

  send(message) {
    if (this.socket.readyState === WebSocket.CONNECTING) this.waiting.push(message);
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(message);
  }
}
