// The timeline of a call: one lane for each voice, and the list of its parts.
import { certainty } from "/page/certainty.js";
import { at, colour, element } from "/page/dom.js";
import { labelName, percent, t } from "/page/language.js";
import { clock } from "/page/waveform.js";

let entries = []; // {moment, button}

// `onPick` gets the moment that was chosen.
export function showTimeline(moments, duration, labels, onPick) {
  entries = [];
  at("timeline").hidden = !moments;
  at("lanes").replaceChildren();
  at("cues").replaceChildren();
  if (!moments) return;
  const lanes = new Map();
  for (const moment of moments) {
    const button = cueButton(moment, labels);
    button.addEventListener("click", () => onPick(moment));
    at("cues").append(element("li", {}, button));
    entries.push({ moment, button });
    const voice = `${moment.channel} ${moment.speaker}`;
    if (!lanes.has(voice)) lanes.set(voice, element("div", { className: "lane" }));
    if (moment.answer) lanes.get(voice).append(block(moment, duration, labels));
  }
  at("lanes").append(...lanes.values());
}

export function markCue(chosen) {
  for (const { moment, button } of entries) {
    if (moment === chosen) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

export function markTime(seconds, duration) {
  for (const lane of at("lanes").children) {
    const needle = lane.querySelector("b") ?? lane.appendChild(element("b"));
    needle.style.left = `${(100 * seconds) / duration}%`;
  }
}

const isClear = (answer) => certainty(answer).kind === "clear";

function cueButton({ start_s: start, speaker, channel, text, answer, error }, labels) {
  const who = speaker ?? (channel === null ? "" : t("transcriptOfChannel", { channel: channel + 1, name: "" }));
  const button = element(
    "button",
    { type: "button" },
    element("span", { className: "time", text: clock(start) }),
    element("span", { className: "who", text: who.replace(/: $/, "") }),
    element("span", { className: "said", text }),
  );
  if (answer) {
    const label = element("span", { className: "label" });
    label.textContent = isClear(answer)
      ? `${labelName(answer.label)} ${percent(answer.confidence)}`
      : t("cueUnclear", { label: labelName(answer.label) });
    label.classList.toggle("uncertain", !isClear(answer));
    button.append(colour(label, answer.label, labels));
  } else {
    const failed = element("span", { className: "failed", text: t("cueFailed") });
    button.append(failed, element("span", { className: "said hint", lang: "en", text: error.message }));
  }
  return button;
}

function block({ start_s: start, end_s: end, answer }, duration, labels) {
  const made = element("i", { className: isClear(answer) ? "" : "uncertain" });
  made.style.left = `${(100 * start) / duration}%`;
  made.style.width = `${(100 * (end - start)) / duration}%`;
  return colour(made, answer.label, labels);
}
