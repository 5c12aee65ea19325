// Example clips and an example call, which the server names in examples.json.
import { at, element } from "/page/dom.js";
import { t } from "/page/language.js";
import { Problem } from "/page/problem.js";

let examples = null; // {clips: [{file, text}], call: {audio, transcripts} or null}

export async function loadExamples() {
  const reply = await fetch("/page/examples.json").catch(() => null);
  examples = reply?.ok ? await reply.json() : { clips: [], call: null };
}

// `onClip` gets a clip, `onCall` the call. Without sound, the clips are only texts.
export function showExamples({ usesText, usesSound }, onClip, onCall) {
  const chips = examples.clips.map((clip) => chip(clip.text, "es", () => onClip(clip)));
  if (examples.call && usesSound && usesText) chips.push(chip(t("exampleCall"), "", () => onCall(examples.call)));
  at("clips").replaceChildren(...chips);
  at("examples").hidden = !chips.length;
}

export async function fetchFile(path) {
  const reply = await fetch(`/page/${path}`).catch(() => null);
  if (!reply?.ok) throw new Problem("examplesMissing");
  return new File([await reply.blob()], path.split("/").at(-1));
}

function chip(text, language, onClick) {
  const label = element("span", { text, lang: language });
  const button = element("button", { type: "button", title: text }, label);
  button.addEventListener("click", () => {
    for (const other of at("clips").querySelectorAll("button")) other.removeAttribute("aria-current");
    button.setAttribute("aria-current", "true");
    onClick();
  });
  return element("li", {}, button);
}
