// The course of the probabilities of a file: it is sent as a live call, with marks on the way.
import { Stream } from "/page/stream.js";

const STEPS = 24;
const MIN_STEP_S = 0.25;
const MAX_S = 30;
const NEVER_MS = 3_600_000;

// Call `onPoints` with the points so far, {seconds, scores}. Returns a function that stops it.
export function courseOf(samples, sampleRate, { text, task }, onPoints) {
  const duration = samples.length / sampleRate;
  if (duration > MAX_S) return () => {};
  const points = [];
  const step = Math.ceil(Math.max(MIN_STEP_S, duration / STEPS) * sampleRate);
  const stream = new Stream({
    onEvent: ({ event, mark, answer }) => {
      if (event !== "emotion" || !mark) return;
      points.push({ seconds: Number(mark), scores: answer.scores });
      onPoints(points);
      if (points.at(-1).seconds >= duration) stream.close();
    },
    onClose: () => {},
  });
  stream.start(sampleRate, text, NEVER_MS, task);
  for (let at = 0; at < samples.length; at += step) {
    const end = Math.min(at + step, samples.length);
    stream.samples(samples.slice(at, end));
    stream.event("mark", { name: String(end / sampleRate) });
  }
  return () => stream.close();
}
