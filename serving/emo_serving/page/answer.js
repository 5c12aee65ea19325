// The answer: verdict, probabilities, their course over time, notes.
import { certainty } from "/page/certainty.js";
import { at, colour, drawing, element } from "/page/dom.js";
import { decimal, labelName, noteText, percent, t } from "/page/language.js";

const rows = new Map(); // label -> its elements

export function showLabels(labels) {
  rows.clear();
  at("scores").replaceChildren();
  for (const label of labels) {
    const area = drawing("path", { class: "area" });
    const line = drawing("path", { class: "line" });
    const now = drawing("line", { class: "now", y1: 0, y2: 100, hidden: "" });
    const course = drawing(
      "svg",
      { class: "course", viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true" },
      area, line, now,
    );
    const fill = element("div", { className: "fill" });
    const row = {
      name: element("span", { className: "name", text: labelName(label) }),
      number: element("span", { className: "number", text: "–" }),
      fill, course, area, line, now,
    };
    const plot = element("div", {}, course, element("div", { className: "track" }, fill));
    at("scores").append(colour(element("li", {}, row.name, plot, row.number), label, labels));
    rows.set(label, row);
  }
}

// `empty` is the text without an answer.
export function showAnswer(answer, empty = t("noAnswer")) {
  const judged = answer ? certainty(answer) : null;
  setText("verdict", judged ? verdictOf(judged) : empty);
  setText("share", judged?.kind === "clear" ? percent(answer.confidence) : "");
  setText("reason", judged ? reasonOf(judged, answer) : "");
  at("verdict").parentElement.classList.toggle("empty", !answer);
  at("answer").classList.toggle("uncertain", Boolean(judged) && judged.kind !== "clear");
  for (const [label, row] of rows) {
    const score = answer?.scores[label];
    row.fill.style.width = `${100 * (score ?? 0)}%`;
    row.number.textContent = score === undefined ? "–" : percent(score);
    row.number.dataset.score = score ?? "";
    const best = judged?.kind === "clear" && judged.labels.includes(label);
    for (const part of [row.name, row.number]) part.classList.toggle("best", best);
  }
  const notes = (answer?.notes ?? []).map((note) => element("li", { text: noteText(note) }));
  at("notes").replaceChildren(...notes);
}

// Show the course; points are {seconds, scores}, `span` is the length of the axis in seconds.
export function showCourse(points, span) {
  const shown = points.length > 1;
  at("axis").hidden = !shown;
  setText("axis-end", shown ? `${decimal(span, span < 10 ? 1 : 0)} s` : "");
  for (const [label, row] of rows) {
    row.course.toggleAttribute("hidden", !shown);
    if (!shown) continue;
    const places = points.map(({ seconds, scores }) => [
      (1000 * seconds) / span,
      100 - 100 * (scores[label] ?? 0),
    ]);
    const line = places.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
    row.line.setAttribute("d", `M${line}`);
    row.area.setAttribute("d", `M${places[0][0]} 100L${line}L${places.at(-1)[0]} 100Z`);
  }
}

// Mark a position of the course, as a share of the axis; null: none.
export function markPosition(share) {
  for (const row of rows.values()) {
    row.now.toggleAttribute("hidden", share === null);
    for (const end of ["x1", "x2"]) row.now.setAttribute(end, 1000 * (share ?? 0));
  }
}

function verdictOf({ kind, labels }) {
  if (kind === "clear") return labels.map(labelName).join(", ");
  return t(kind === "none" ? "none" : "unclear");
}

function reasonOf({ kind, labels }, answer) {
  const [first, second] = labels.map((label) => labelName(label).toLowerCase());
  const why = {
    between: () => `${t("unclearBetween", { first, second })} `,
    weak: () => `${t("unclearWeak", { first })} `,
    input: () => `${t("unclearInput")} `,
  }[kind];
  const used = { fusion: "both", text: "text", audio: "sound" }[answer.task];
  const what = t(used, { seconds: decimal(answer.duration_s) });
  return (why?.() ?? "") + t("from", { what });
}

// Only changes: a screen reader reads the verdict whenever it is set.
function setText(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}
