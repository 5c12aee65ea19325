// Copyable code that does what the page just did.
import { bundleQuery, getToken } from "/page/api.js";
import { at, element } from "/page/dom.js";
import { current, t } from "/page/language.js";

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const python = (text) => JSON.stringify(text);
// In curl's -F, a name in double quotes may contain commas and semicolons.
const upload = (field, name) => shell(`${field}=@"${name.replaceAll(/["\\]/g, "\\$&")}"`);

let shown = ""; // what the blocks were made of: replacing them would lose a selection

// `input` has text, sound (a file's name) and transcripts (names); `bundle` is the model's name.
export function showSnippets(input, bundle) {
  const wanted = JSON.stringify([input, bundle, getToken(), bundleQuery(), current()]);
  if (wanted === shown) return;
  shown = wanted;
  at("snippets").replaceChildren(
    snippet("curl", curl(input)),
    snippet(t("codePython"), overHttp(input)),
    snippet(t("codeLibrary"), library(input, bundle)),
  );
}

function curl({ text, sound, transcripts }) {
  const address = location.origin + path(transcripts);
  const lines = [`curl ${bundleQuery() ? shell(address) : address}`];
  if (getToken()) lines.push(`-H "Authorization: Bearer $TOKEN"`);
  if (sound) lines.push(`-F ${upload("audio", sound)}`);
  for (const name of transcripts) lines.push(`-F ${upload("transcript", name)}`);
  if (text) lines.push(`--form-string ${shell(`text=${text}`)}`);
  return lines.join(" \\\n  ");
}

function overHttp({ text, sound, transcripts }) {
  const parts = [];
  if (sound) parts.push(`("audio", open(${python(sound)}, "rb"))`);
  for (const name of transcripts) parts.push(`("transcript", open(${python(name)}, "rb"))`);
  if (text) parts.push(`("text", (None, ${python(text)}))`);
  const token = getToken() ? `\n    headers={"Authorization": f"Bearer {os.environ['TOKEN']}"},` : "";
  return `${token ? "import os\n\n" : ""}import requests

reply = requests.post(
    ${python(location.origin + path(transcripts))},
    files=[${parts.map((part) => `\n        ${part},`).join("")}
    ],${token}
)
reply.raise_for_status()
print(reply.json())`;
}

function library({ text, sound, transcripts }, bundle) {
  const open = `from emo_runtime import EmotionRecognizer

recognizer = EmotionRecognizer.open(${python(bundle)})`;
  if (transcripts.length === 1) {
    return `${open}
for moment in recognizer.timeline(${python(sound)}, ${python(transcripts[0])}):
    print(moment.cue.start_s, moment.cue.text, moment.answer or moment.error)`;
  }
  if (transcripts.length) {
    return `${open.replace("\n", "\nfrom emo_runtime.text.transcripts import read_transcript\n")}
transcripts = [${transcripts.map(python).join(", ")}]
cues = [cue for channel, name in enumerate(transcripts) for cue in read_transcript(name, channel)]
cues.sort(key=lambda cue: cue.start_s)
for moment in recognizer.timeline(${python(sound)}, cues):
    print(moment.cue.start_s, moment.cue.text, moment.answer or moment.error)`;
  }
  const inputs = [];
  if (text) inputs.push(`text=${python(text)}`);
  if (sound) inputs.push(`audio=${python(sound)}`);
  return `${open}
answer = recognizer.recognize(${inputs.join(", ")})
print(answer.label, answer.scores)`;
}

const path = (transcripts) =>
  (transcripts.length ? "/v1/timeline" : "/v1/recognize") + bundleQuery();

function snippet(name, code) {
  const block = element("pre", { tabIndex: 0 }, element("code", { text: code }));
  block.setAttribute("role", "region");
  block.setAttribute("aria-label", name);
  const button = element("button", { type: "button", text: t("copy") });
  button.setAttribute("aria-label", t("copyCode", { name }));
  button.addEventListener("click", async () => {
    await copy(code, block);
    button.textContent = t("copied");
    button.setAttribute("aria-label", t("copied"));
  });
  const head = element("div", { className: "head" }, element("h3", { text: name }), button);
  return element("div", { className: "snippet" }, head, block);
}

// Without HTTPS the browser has no clipboard for scripts: copy the selected block instead.
async function copy(code, block) {
  try {
    await navigator.clipboard.writeText(code);
  } catch {
    getSelection().selectAllChildren(block);
    document.execCommand("copy");
  }
}
