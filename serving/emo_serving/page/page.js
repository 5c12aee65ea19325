// The page: sends the utterance to the server and shows its answer. No library, no stored state.
import { LiveCall } from "/page/call.js";
import { showAnswer, showError, showLabels, showMachine } from "/page/show.js";

const at = (id) => document.getElementById(id);
const TYPING_PAUSE_MS = 250;
const NO_SOUND = at("sound-name").textContent;

let sound = null; // a File
let call = null; // a LiveCall
let token = "";
let asked = 0; // number of the latest request: a response to an earlier one is ignored

async function request(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const reply = await fetch(path, { ...options, headers });
  at("token-form").hidden = reply.status !== 401;
  const document = await reply.json();
  if (!reply.ok) throw new Error(document.error.message);
  return document;
}

async function recognize() {
  const text = at("text").value;
  const number = ++asked;
  if (!text.trim() && !sound) {
    showAnswer(null);
    return;
  }
  const form = new FormData();
  if (text.trim()) form.append("text", text);
  if (sound) form.append("audio", sound);
  const begun = performance.now();
  try {
    const answer = await request("/v1/recognize", { method: "POST", body: form });
    if (number === asked) showAnswer(answer, performance.now() - begun);
  } catch (error) {
    if (number === asked) showError(error.message);
  }
}

let typing;
at("text").addEventListener("input", () => {
  if (call) {
    call.setText(at("text").value);
    return;
  }
  clearTimeout(typing);
  typing = setTimeout(recognize, TYPING_PAUSE_MS);
});

function setSound(file) {
  sound = file;
  at("clear").hidden = !file;
  at("sound-name").textContent = file ? file.name : NO_SOUND;
}

at("file").addEventListener("change", ({ target }) => {
  if (target.files.length) setSound(target.files[0]);
  target.value = "";
  recognize();
});

at("clear").addEventListener("click", () => {
  setSound(null);
  recognize();
  at("file").focus();
});

const drop = at("drop");
for (const kind of ["dragover", "dragleave", "drop"]) {
  window.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && !call && event.dataTransfer.files.length) {
      setSound(event.dataTransfer.files[0]);
      recognize();
    }
  });
}

function setListening(listening) {
  at("speak").setAttribute("aria-pressed", listening);
  at("speak-label").textContent = listening ? "Stop" : "Speak";
  at("level").hidden = !listening;
  at("file").disabled = listening;
  at("sound-name").textContent = listening ? "Recording." : NO_SOUND;
}

at("speak").addEventListener("click", async () => {
  if (call) {
    call.finish();
    return;
  }
  asked += 1;
  setSound(null);
  call = new LiveCall({
    token,
    onEvent: (event) => (event.event === "error" ? showError(event.error.message) : showAnswer(event.answer)),
    onLevel: (peak) => (at("level").value = peak),
    onEnd: () => {
      call = null;
      setListening(false);
    },
  });
  setListening(true);
  try {
    await call.begin(at("text").value);
  } catch (error) {
    const denied = error.name === "NotAllowedError" || error.name === "NotFoundError";
    showError(denied ? "No microphone: allow it in the browser, or give a file." : error.message);
    call?.close();
  }
});

at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value;
  begin();
});

async function begin() {
  try {
    const machine = await request("/v1/bundle");
    showLabels(machine.labels);
    showMachine(machine);
    await recognize();
  } catch (error) {
    showError(error.message);
  }
}

begin();
