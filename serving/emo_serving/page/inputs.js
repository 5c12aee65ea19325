// The sound and the transcript files that the user gave: panel, player, drag and drop.
import { at, element } from "/page/dom.js";
import { t } from "/page/language.js";
import { Player } from "/page/player.js";
import { decode, peaksOf } from "/page/sound.js";
import { BARS, showPosition, showWave } from "/page/waveform.js";

const TRANSCRIPT = /\.(vtt|srt|jsonl?|ndjson|tsv)$/i;

export const inputs = {
  sound: null, // a File
  transcripts: [], // Files
  decoded: Promise.resolve(null), // of an AudioBuffer, or null
};

const listeners = { change: () => {}, time: () => {} };

export const player = new Player({
  onTime: (seconds) => {
    showPosition(seconds, player.duration);
    listeners.time(seconds, player.duration);
  },
  onState: (playing) => {
    at("play").classList.toggle("playing", playing);
    at("play").setAttribute("aria-label", t(playing ? "pause" : "play"));
  },
});

// `change` is called when the user gave or removed files, `time` while sound plays.
export function onInputs(change, time) {
  Object.assign(listeners, { change, time });
}

export function setSound(file) {
  inputs.sound = file;
  player.load(null);
  inputs.decoded = file ? decode(file) : Promise.resolve(null);
  at("sound").classList.remove("recording");
  at("player").hidden = false;
  at("playback-hint").hidden = true;
  showInputs();
  showWave(new Array(BARS).fill(0));
  inputs.decoded.then((buffer) => {
    if (inputs.sound !== file || !file) return;
    at("player").hidden = !buffer;
    at("playback-hint").hidden = Boolean(buffer);
    if (!buffer) return;
    player.load(buffer);
    showWave(peaksOf(buffer, BARS));
  });
}

export function setTranscripts(files) {
  inputs.transcripts = files;
  showInputs();
}

export function showInputs() {
  const { sound, transcripts } = inputs;
  at("sound").hidden = !sound;
  at("sound-hint").hidden = Boolean(sound);
  at("sound-name").textContent = sound?.name ?? "";
  at("call-hint").hidden = !sound || transcripts.length > 0;
  at("transcripts").hidden = !transcripts.length;
  at("words").hidden = transcripts.length > 0;
  at("transcripts").replaceChildren(...transcripts.map(transcriptRow));
  at("play").setAttribute("aria-label", t(player.playing ? "pause" : "play"));
  at("seek").setAttribute("aria-label", t("seek"));
}

function transcriptRow(file, channel, all) {
  const { name } = file;
  const text = t(all.length > 1 ? "transcriptOfChannel" : "transcriptOfCall", { name, channel: channel + 1 });
  const button = element("button", { type: "button", text: t("remove") });
  button.setAttribute("aria-label", t("removeFile", { name }));
  button.addEventListener("click", () => {
    setTranscripts(inputs.transcripts.filter((other) => other !== file));
    listeners.change();
    at("file").focus();
  });
  return element("li", {}, element("span", { text }), button);
}

function take(files) {
  if (!files.length) return;
  const transcripts = files.filter((file) => TRANSCRIPT.test(file.name));
  const sound = files.find((file) => !TRANSCRIPT.test(file.name));
  if (transcripts.length) {
    const byName = (a, b) => a.name.localeCompare(b.name);
    setTranscripts([...inputs.transcripts, ...transcripts].sort(byName));
  } else {
    setTranscripts([]);
  }
  if (sound) setSound(sound);
  listeners.change();
}

export function connectInputs(isRecording) {
  at("file").addEventListener("change", ({ target }) => {
    take([...target.files]);
    target.value = "";
  });
  at("clear").addEventListener("click", () => {
    setSound(null);
    setTranscripts([]);
    listeners.change();
    at("file").focus();
  });
  at("play").addEventListener("click", () => (player.playing ? player.pause() : player.play()));
  at("seek").addEventListener("input", ({ target }) => player.seek(target.value * player.duration));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    window.addEventListener(kind, (event) => {
      event.preventDefault();
      at("drop").classList.toggle("over", kind === "dragover" && !isRecording());
      if (kind === "drop" && !isRecording()) take([...event.dataTransfer.files]);
    });
  }
}

