// Collects the microphone's samples in blocks of 16 bits: an AudioWorklet receives 128 at a time.
const BLOCK = 2048;

class Collector extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Int16Array(BLOCK);
    this.filled = 0;
    this.ended = false;
    this.port.onmessage = () => this.flush(); // the only message: the recording ends
  }

  process([channels]) {
    if (this.ended) return false; // what was flushed is complete
    for (const sample of channels[0] ?? []) {
      this.block[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(32768 * sample)));
      if (this.filled === BLOCK) {
        this.port.postMessage(this.block, [this.block.buffer]);
        this.block = new Int16Array(BLOCK);
        this.filled = 0;
      }
    }
    return true;
  }

  flush() {
    this.ended = true;
    this.port.postMessage(this.block.slice(0, this.filled));
    this.port.postMessage(null);
  }
}

registerProcessor("collector", Collector);
