// The page: what the user gives is sent to the server, and its answers are shown.
import { markPosition, showAnswer, showCourse, showLabels } from "/page/answer.js";
import { formOf, getToken, request, setBundle, setToken } from "/page/api.js";
import { courseOf } from "/page/course.js";
import { showMachine, showTimes } from "/page/details.js";
import { at, element } from "/page/dom.js";
import { fetchFile, loadExamples, showExamples } from "/page/examples.js";
import { connectInputs, inputs, onInputs, player, setSound, setTranscripts, showInputs } from "/page/inputs.js";
import { switchLanguage, t, translatePage } from "/page/language.js";
import { LiveRecording } from "/page/microphone.js";
import { Problem, problemOf } from "/page/problem.js";
import { hasMicrophone } from "/page/recorder.js";
import { showSnippets } from "/page/snippets.js";
import { monoOf } from "/page/sound.js";
import { abilities, chooseTask } from "/page/tasks.js";
import { markCue, markTime, showTimeline } from "/page/timeline.js";
import { clock, showGrowingWave } from "/page/waveform.js";

const TYPING_PAUSE_MS = 250;
const LIVE_SPAN_S = 10; // the shortest time axis of a recording in progress
const RETRYABLE = new Set(["unreachable", "busy", "stopping", "tooSlow", "serverFailed", "examplesMissing"]);

let machine = null; // the server's description
let live = null; // a LiveRecording
let starting = false;
let running = new AbortController(); // the latest request
let stopCourse = () => {};
// What is shown: everything that a change of the language shows again.
const view = { answer: null, empty: "noAnswer", points: [], span: 0, moments: null, chosen: null };

const words = () => at("text").value.trim();

async function begin() {
  showProblem(null);
  try {
    [machine] = await Promise.all([request("/v1/bundle"), loadExamples()]);
    at("token-form").hidden = true;
    for (const id of ["work", "code", "details"]) at(id).hidden = false;
    showAll();
    await ask();
  } catch (error) {
    showProblem(error);
  }
}

// Show everything in the current language.
function showAll() {
  translatePage();
  at("text").placeholder = t("placeholder");
  if (!machine) return;
  const able = abilities(machine.tasks);
  const lead = able.usesText ? (able.usesSound ? "lead" : "leadText") : "leadAudio";
  document.querySelector("[data-text^=lead]").dataset.text = lead;
  document.querySelector("[data-text^=lead]").textContent = t(lead);
  at("drop").hidden = !able.usesSound;
  at("text-label").textContent = t(!able.usesSound ? "wordsOnly" : able.needsText ? "wordsAlso" : "words");
  at("speak-label").textContent = t(live ? "stop" : "record");
  at("speak").disabled = !hasMicrophone();
  at("microphone-hint").hidden = hasMicrophone();
  at("microphone-hint").textContent = hasMicrophone() ? "" : t("microphoneInsecure");
  showInputs();
  if (!able.usesText) at("words").hidden = at("call-hint").hidden = true;
  showBundles();
  showExamples(able, useClip, useCall);
  showLabels(machine.labels);
  showMachine(machine);
  showTimes(view.answer?.timings, view.roundTrip);
  showResult();
  showTimeline(view.moments, view.duration, machine.labels, pick);
  markCue(view.chosen);
}

// The models of the server, if there are several.
function showBundles() {
  at("bundle").hidden = machine.bundles.length < 2;
  at("bundle").ariaLabel = t("model");
  const options = machine.bundles.map((name) => element("option", { value: name, text: name }));
  at("bundle").replaceChildren(...options);
  at("bundle").value = machine.name;
}

function showResult() {
  showAnswer(view.answer, t(view.empty));
  showCourse(view.points, view.span);
  at("course-hint").hidden = view.points.length < 2;
  at("course-hint").textContent = t("courseHint");
  const transcripts = inputs.transcripts.map((file) => file.name);
  const text = transcripts.length ? "" : words() || (inputs.sound ? "" : t("placeholder"));
  showSnippets({ text, sound: inputs.sound?.name, transcripts }, machine.bundle.name);
}

// Request an answer for what was given.
async function ask() {
  running.abort();
  stopCourse();
  running = new AbortController();
  const { signal } = running;
  const isCall = inputs.transcripts.length > 0;
  const { task, missing } = isCall
    ? { missing: inputs.sound ? null : "needsRecording" }
    : chooseTask(machine.tasks, Boolean(words()), Boolean(inputs.sound));
  showProblem(null);
  if (isCall || !inputs.sound || missing) Object.assign(view, { points: [] });
  if (!isCall || missing) forgetCall();
  if (missing) {
    Object.assign(view, { answer: null, empty: missing, roundTrip: 0 });
    at("answer").ariaBusy = null;
    showTimes(null);
    showResult();
    return;
  }
  at("answer").ariaBusy = "true";
  try {
    await (isCall ? askTimeline(signal) : askAnswer(task, signal));
  } catch (error) {
    if (error.name === "AbortError") return;
    Object.assign(view, { answer: null, empty: "noAnswer", points: [], roundTrip: 0 });
    forgetCall();
    showTimes(null);
    showResult();
    showProblem(error);
  }
  if (!signal.aborted) at("answer").ariaBusy = null;
}

async function askAnswer(task, signal) {
  const body = formOf({ text: words(), audio: inputs.sound, task });
  const begun = performance.now();
  const answer = await request("/v1/recognize", { method: "POST", body, signal });
  Object.assign(view, { answer, roundTrip: performance.now() - begun });
  showTimes(answer.timings, view.roundTrip);
  showResult();
  if (task !== "text") await askCourse(task, signal);
}

async function askCourse(task, signal) {
  const buffer = await inputs.decoded;
  if (!buffer || signal.aborted) return;
  stopCourse = courseOf(monoOf(buffer), buffer.sampleRate, { text: words(), task }, (points) => {
    Object.assign(view, { points, span: buffer.duration });
    showResult();
  });
}

async function askTimeline(signal) {
  const body = formOf({ audio: inputs.sound, transcript: inputs.transcripts });
  const { moments } = await request("/v1/timeline", { method: "POST", body, signal });
  const buffer = await inputs.decoded;
  if (signal.aborted) return;
  const ends = moments.map((moment) => moment.end_s);
  Object.assign(view, { moments, duration: buffer?.duration ?? Math.max(1, ...ends) });
  showTimeline(moments, view.duration, machine.labels, pick);
  if (moments.length) choose(moments[0]);
}

function forgetCall() {
  if (view.moments) showTimeline(null);
  Object.assign(view, { moments: null, chosen: null });
}

// Show a part of a call.
function choose(moment) {
  Object.assign(view, { chosen: moment, answer: moment.answer, empty: "cueFailed", roundTrip: 0 });
  markCue(moment);
  showTimes(moment.answer?.timings);
  showResult();
}

function pick(moment) {
  choose(moment);
  player.play(moment.start_s, moment.end_s);
}

function showProblem(error) {
  const problem = error instanceof Problem || !error ? error : new Problem("unexpected", error.message);
  const needsToken = problem?.key === "tokenWrong";
  at("error").hidden = !problem || needsToken;
  at("error-title").textContent = problem && !needsToken ? t(problem.key) : "";
  at("error-detail").textContent = problem?.detail ?? "";
  at("retry").hidden = !RETRYABLE.has(problem?.key);
  if (needsToken) askForToken();
}

function askForToken() {
  const isWrong = Boolean(getToken());
  at("token-form").hidden = false;
  at("token-error").textContent = isWrong ? t("tokenWrong") : "";
  at("token").ariaInvalid = String(isWrong);
  at("token").focus();
  at("token").select();
}

async function useClip({ file, text }) {
  const able = abilities(machine.tasks);
  at("text").value = able.usesText ? text : "";
  setTranscripts([]);
  await useFiles(async () => setSound(able.usesSound ? await fetchFile(file) : null));
}

function useCall({ audio, transcripts }) {
  return useFiles(async () => {
    const files = await Promise.all([audio, ...transcripts].map(fetchFile));
    setTranscripts(files.slice(1));
    setSound(files[0]);
  });
}

async function useFiles(load) {
  try {
    await load();
    changed();
    showEstimate();
  } catch (error) {
    showProblem(error);
  }
}

// On a small screen the answer may be below the fold.
function showEstimate() {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  at("answer").scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
}

function changed() {
  showAll();
  ask();
}

async function startRecording() {
  running.abort();
  stopCourse();
  player.pause();
  setSound(null);
  setTranscripts([]);
  forgetCall();
  showProblem(null);
  Object.assign(view, { answer: null, empty: "listening", points: [] });
  live = new LiveRecording({
    limitOf: (rate) => {
      const { stream_s: streams, duration_s: sounds, body_bytes: bytes } = machine.limits;
      return Math.min(streams, sounds, bytes / (2 * rate)) - 1;
    },
    onSound: (peaks, seconds) => {
      showGrowingWave(peaks, Math.min(1, seconds / LIVE_SPAN_S));
      at("clock").textContent = clock(seconds);
    },
    onAnswer: (answer, points) => {
      Object.assign(view, { answer, points, span: Math.max(LIVE_SPAN_S, answer.duration_s) });
      showResult();
    },
    onError: (error) => showProblem(problemOf(422, error)),
    onLimit: () => {
      if (live.recorder.seconds >= live.limit) {
        at("microphone-hint").hidden = false;
        at("microphone-hint").textContent = t("limitReached", { seconds: Math.floor(live.limit) });
      }
      stopRecording();
    },
  });
  const task = machine.tasks.includes("fusion") ? undefined : "audio";
  starting = true;
  try {
    await live.start(words(), task);
    at("speak").classList.add("running");
    at("sound").hidden = false;
    at("sound").classList.add("recording");
    at("player").hidden = false;
    at("playback-hint").hidden = true;
    at("sound-hint").hidden = true;
    at("sound-name").textContent = t("recording");
    for (const id of ["play", "seek", "clear", "file"]) at(id).disabled = true;
  } catch (error) {
    live = null;
    view.empty = "noAnswer";
    showProblem(error);
  }
  starting = false;
  at("speak-label").textContent = t(live ? "stop" : "record");
  showResult();
}

async function stopRecording() {
  const recording = live;
  if (!recording || recording.stopping) return;
  const { file, answer, points } = await recording.stop(`${t("recordingFile")}.wav`);
  live = null;
  at("speak").classList.remove("running");
  for (const id of ["play", "seek", "clear", "file"]) at(id).disabled = false;
  at("speak-label").textContent = t("record");
  setSound(file);
  showEstimate();
  if (!answer) {
    await ask();
    return;
  }
  Object.assign(view, { answer, points, span: answer.duration_s, roundTrip: 0 });
  showTimes(answer.timings);
  showResult();
}

let typing;
at("text").addEventListener("input", () => {
  if (live) {
    live.setText(words());
    return;
  }
  clearTimeout(typing);
  typing = setTimeout(ask, TYPING_PAUSE_MS);
});
at("speak").addEventListener("click", () => {
  if (!starting) (live ? stopRecording : startRecording)();
});
at("bundle").addEventListener("change", () => {
  setBundle(at("bundle").value === machine.bundles[0] ? "" : at("bundle").value);
  begin();
});
at("retry").addEventListener("click", () => (machine ? ask() : begin()));
at("language").addEventListener("click", () => {
  switchLanguage();
  showAll();
});
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(at("token").value);
  begin();
});
onInputs(changed, (seconds, duration) => {
  markPosition(player.playing && duration ? seconds / duration : null);
  markTime(seconds, view.duration || duration || 1);
});
connectInputs(() => Boolean(live));

showAll();
begin();
