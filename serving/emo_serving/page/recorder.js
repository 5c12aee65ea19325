// Records the microphone as blocks of 16-bit samples.
import { Problem, problemOfMicrophone } from "/page/problem.js";
import { wavFile } from "/page/wav.js";

export const hasMicrophone = () => Boolean(navigator.mediaDevices?.getUserMedia);

export class Recorder {
  constructor({ onBlock, onEnded }) {
    Object.assign(this, { onBlock, onEnded, blocks: [], length: 0 });
  }

  async start() {
    if (!hasMicrophone()) throw new Problem("microphoneInsecure");
    try {
      this.media = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    } catch (error) {
      throw problemOfMicrophone(error);
    }
    try {
      this.context = new AudioContext();
      await this.context.audioWorklet.addModule("/page/collector.js");
      await this.context.resume();
    } catch (error) {
      this.release();
      throw error;
    }
    this.sampleRate = this.context.sampleRate;
    this.media.getTracks()[0].onended = this.onEnded; // the microphone was unplugged
  }

  // Begin to collect: separate from `start`, so that the rate is known before the first block.
  collect() {
    this.node = new AudioWorkletNode(this.context, "collector", { numberOfOutputs: 0 });
    this.flushed = new Promise((done) => {
      this.node.port.onmessage = ({ data }) => (data ? this.add(data) : done());
    });
    this.context.createMediaStreamSource(this.media).connect(this.node);
  }

  add(block) {
    if (!block.length) return;
    this.blocks.push(block);
    this.length += block.length;
    this.onBlock(block);
  }

  get seconds() {
    return this.length / this.sampleRate;
  }

  async stop() {
    this.node.port.postMessage("flush");
    await this.flushed;
    this.release();
  }

  release() {
    for (const track of this.media.getTracks()) track.stop();
    this.context?.close();
  }

  file(name) {
    return wavFile(this.blocks, this.sampleRate, name);
  }
}
