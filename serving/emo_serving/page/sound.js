// Decoded sound: for playback, for the waveform, and as 16-bit samples.
const SMALL_BYTES = 4 << 20; // a long call is decoded at a lower rate, to save memory
const RATE = 48000;
const RATE_OF_LONG = 16000;

// Return an AudioBuffer, or null if the browser can't decode the file.
export async function decode(file) {
  const rate = file.size > SMALL_BYTES ? RATE_OF_LONG : RATE;
  try {
    return await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer());
  } catch {
    return null;
  }
}

// Return the peaks of `count` equal parts, from 0 to 1.
export function peaksOf(buffer, count) {
  const peaks = new Array(count).fill(0);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const samples = buffer.getChannelData(channel);
    for (let at = 0; at < samples.length; at++) {
      const part = Math.floor((at / samples.length) * count);
      const level = Math.abs(samples[at]);
      if (level > peaks[part]) peaks[part] = level;
    }
  }
  return peaks.map((peak) => Math.min(1, peak));
}

export function peakOf(block) {
  let peak = 0;
  for (const sample of block) peak = Math.max(peak, Math.abs(sample));
  return peak / 32768;
}

// Return the mean of the channels as 16-bit samples.
export function monoOf(buffer) {
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, n) => buffer.getChannelData(n));
  const scale = 32767 / channels.length;
  const mono = new Int16Array(buffer.length);
  for (let at = 0; at < mono.length; at++) {
    let sum = 0;
    for (const samples of channels) sum += Math.max(-1, Math.min(1, samples[at]));
    mono[at] = Math.round(scale * sum);
  }
  return mono;
}
