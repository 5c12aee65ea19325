// Plays decoded sound, all of it or a part.
export class Player {
  constructor({ onTime, onState }) {
    Object.assign(this, { onTime, onState, buffer: null, position: 0 });
  }

  load(buffer) {
    this.pause();
    this.buffer = buffer;
    this.seek(0);
  }

  get duration() {
    return this.buffer?.duration ?? 0;
  }

  get playing() {
    return Boolean(this.source);
  }

  play(from = this.position, to = this.duration) {
    if (!this.buffer) return;
    this.pause();
    this.context ??= new AudioContext();
    this.context.resume();
    const begin = from >= this.duration - 0.01 ? 0 : from;
    this.source = new AudioBufferSourceNode(this.context, { buffer: this.buffer });
    this.source.connect(this.context.destination);
    this.source.start(0, begin);
    this.begun = this.context.currentTime - begin;
    this.end = Math.max(to, begin);
    this.onState(true);
    this.follow();
  }

  pause() {
    if (!this.source) return;
    this.source.stop();
    this.source = null;
    cancelAnimationFrame(this.frame);
    this.onState(false);
  }

  seek(seconds) {
    const again = this.playing;
    this.pause();
    this.position = seconds;
    this.onTime(seconds);
    if (again) this.play(seconds);
  }

  follow() {
    this.position = Math.min(this.context.currentTime - this.begun, this.end);
    this.onTime(this.position);
    if (this.position >= this.end) this.pause();
    else this.frame = requestAnimationFrame(() => this.follow());
  }
}
