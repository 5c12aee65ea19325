// Shows answers and the server's description. Text is inserted as text only, never as HTML.
const at = (id) => document.getElementById(id);
const STEPS = {
  decode: "Decode", resample: "Resample", mfcc: "MFCC", speech: "Speech graph",
  tokenize: "Tokenize", text: "Text graph", fusion: "Fusion graph",
};
const SVG = "http://www.w3.org/2000/svg";
const rows = new Map(); // label -> its elements

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

export function showLabels(labels) {
  rows.clear();
  at("bars").replaceChildren();
  for (const label of labels) {
    const picture = document.createElementNS(SVG, "svg");
    const bar = document.createElementNS(SVG, "rect");
    picture.setAttribute("aria-hidden", "true");
    bar.setAttribute("height", "100%");
    picture.append(bar);
    const cell = element("dd");
    cell.append(picture);
    const row = { name: element("dt", label), bar, number: element("dd", "–", "number") };
    rows.set(label, row);
    at("bars").append(row.name, cell, row.number);
  }
}

export function showAnswer(answer, roundTripMs) {
  at("error").hidden = true;
  at("notes").replaceChildren(...(answer?.notes ?? []).map((note) => element("li", note.message)));
  const verdict = at("verdict");
  if (answer) {
    const read = answer.tokens ? `, ${answer.tokens} tokens` : "";
    const sound = answer.duration_s ? `, ${answer.duration_s.toFixed(1)} s of sound` : "";
    if (verdict.firstChild.textContent !== answer.label) {
      verdict.replaceChildren(answer.label, " ", element("small"));
    }
    verdict.querySelector("small").textContent = `task ${answer.task}${sound}${read}`;
  } else {
    verdict.replaceChildren(element("small", "No answer yet."));
  }
  for (const [label, row] of rows) {
    const score = answer?.scores[label];
    row.bar.style.width = `${100 * (score ?? 0)}%`;
    row.number.textContent = score === undefined ? "–" : `${(100 * score).toFixed(1)}%`;
    for (const part of [row.name, row.number]) {
      part.classList.toggle("best", label === answer?.label);
    }
  }
  showTimes(answer, roundTripMs);
}

export function showError(message) {
  at("error").textContent = message;
  at("error").hidden = false;
}

export function showMachine(machine) {
  const graphs = Object.entries(machine.graphs).map(([name, graph]) => [
    `Graph ${name}`,
    `${graph.precision}, ${graph.providers[0].replace("ExecutionProvider", "")}`,
  ]);
  table("where", [
    ["Model", `${machine.bundle.name} ${machine.bundle.version} (${machine.bundle.licence})`],
    ...graphs,
    ["Threads", `${machine.threads.count} calls at once, one thread each`],
    ["Software", `emo-runtime ${machine.versions.emo_runtime}, ONNX Runtime ${machine.versions.onnxruntime}`],
  ]);
}

function showTimes(answer, roundTripMs) {
  if (!answer) {
    table("times", [["No answer yet.", ""]]);
    return;
  }
  const taken = answer.timings;
  const steps = Object.entries(STEPS).map(([key, name]) => [name, taken[`${key}_ms`]]);
  const lines = steps.filter(([, ms]) => ms > 0).map(([name, ms]) => [name, ms.toFixed(2)]);
  lines.push(["Answer", taken.total_ms.toFixed(2)]);
  if (roundTripMs) lines.push(["Round trip", roundTripMs.toFixed(1)]);
  table("times", lines);
  const body = at("times").tBodies[0];
  body.rows[body.rows.length - (roundTripMs ? 2 : 1)].className = "sum";
}

function table(id, lines) {
  const made = lines.map(([head, value]) => {
    const row = element("tr");
    const name = element("th", head);
    name.scope = "row";
    row.append(name, element("td", value));
    return row;
  });
  at(id).tBodies[0].replaceChildren(...made);
}
