// Waveform, position and clock of the sound.
import { at } from "/page/dom.js";

export const BARS = 100;
const FLOOR = 0.02; // silence stays visible as a line of dots

export const clock = (seconds) =>
  `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

export function showWave(peaks) {
  const path = peaks.map((peak, n) => {
    const height = Math.max(FLOOR, 0.95 * peak).toFixed(3);
    return `M${n + 0.5} -${height}V${height}`;
  });
  for (const part of document.querySelectorAll("#wave path")) part.setAttribute("d", path.join(""));
}

// Show the peaks of a recording in progress; `share` is the part of the axis that they take.
export function showGrowingWave(peaks, share) {
  const count = Math.max(1, Math.round(share * BARS));
  const bars = new Array(BARS).fill(0);
  peaks.forEach((peak, n) => {
    const bar = Math.min(count - 1, Math.floor((n / peaks.length) * count));
    bars[bar] = Math.max(bars[bar], peak);
  });
  showWave(bars);
}

export function showPosition(seconds, duration) {
  const share = duration ? seconds / duration : 0;
  at("wave").style.setProperty("--position", `${100 * share}%`);
  at("seek").value = share;
  at("seek").setAttribute("aria-valuetext", `${clock(seconds)} / ${clock(duration)}`);
  at("clock").textContent = clock(seconds || duration);
}
