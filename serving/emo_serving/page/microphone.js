// A recording that is answered while one speaks. If the live connection fails, only the recording
// is left: it is answered as a file afterwards.
import { Recorder } from "/page/recorder.js";
import { Stream } from "/page/stream.js";
import { peakOf } from "/page/sound.js";

const INTERVAL_MS = 200;
const PATIENCE_MS = 10_000; // for the final answer

export class LiveRecording {
  // onAnswer(answer, points), onSound(peaks, seconds), onError(error), onLimit()
  constructor({ limitOf, onAnswer, onSound, onError, onLimit }) {
    Object.assign(this, { limitOf, onAnswer, onSound, onError, onLimit, peaks: [], points: [] });
    this.stopping = false;
    this.recorder = new Recorder({
      onBlock: (block) => this.take(block),
      onEnded: () => this.onLimit(),
    });
  }

  async start(text, task) {
    await this.recorder.start();
    this.limit = this.limitOf(this.recorder.sampleRate);
    this.final = new Promise((done) => {
      this.finish = done;
    });
    this.stream = new Stream({
      onEvent: (event) => this.receive(event),
      onClose: () => this.finish(null),
    });
    this.stream.start(this.recorder.sampleRate, text, INTERVAL_MS, task);
    this.recorder.collect();
  }

  take(block) {
    this.peaks.push(peakOf(block));
    this.stream.samples(block);
    this.onSound(this.peaks, this.recorder.seconds);
    if (this.recorder.seconds >= this.limit && !this.stopping) this.onLimit();
  }

  receive({ event, final, answer, error }) {
    if (event === "error") {
      if (this.stopping) this.finish(null);
      else this.onError(error);
      return;
    }
    if (final && this.stopping) {
      this.finish(answer);
      return;
    }
    // A server that stops sends its final answer too early: the recording goes on, and is answered
    // as a file afterwards.
    this.points.push({ seconds: answer.duration_s, scores: answer.scores });
    this.onAnswer(answer, this.points);
  }

  setText(text) {
    this.stream.event("transcript", { text });
  }

  // Return the recording and its final answer, or null for the answer if there is none.
  async stop(name) {
    this.stopping = true;
    await this.recorder.stop();
    this.stream.event("stop");
    const patience = setTimeout(() => this.finish(null), PATIENCE_MS);
    const answer = await this.final;
    clearTimeout(patience);
    this.stream.close();
    if (answer) this.points.push({ seconds: answer.duration_s, scores: answer.scores });
    return { file: this.recorder.file(name), answer, points: this.points };
  }
}
