// Times of the answer, and what runs the model.
import { at, element } from "/page/dom.js";
import { decimal, t } from "/page/language.js";

const STEPS = {
  decode: "decode", resample: "resample", front_end: "frontEnd", speech: "speech",
  tokenize: "tokenize", text: "textGraph", fusion: "fusion",
};

export function showTimes(timings, roundTripMs) {
  const used = Object.entries(STEPS).filter(([step]) => timings?.[`${step}_ms`] > 0);
  const lines = used.map(([step, name]) => [t(name), decimal(timings[`${step}_ms`], 2)]);
  const sum = lines.length;
  if (timings) lines.push([t("answerTime"), decimal(timings.total_ms, 2)]);
  if (roundTripMs) lines.push([t("roundTrip"), decimal(roundTripMs, 1)]);
  fill("times", lines.length ? lines : [["–", ""]]);
  if (timings) at("times").rows[sum].className = "sum";
}

export function showMachine(machine) {
  const { name, version, licence } = machine.bundle;
  const graphs = Object.entries(machine.graphs).map(([graph, { precision, providers }]) => [
    t("graph", { name: graph }),
    `${precision}, ${providers[0].replace("ExecutionProvider", "")}`,
  ]);
  const { emo_runtime: runtime, onnxruntime } = machine.versions;
  fill("machine", [
    [t("model"), `${name} ${version} (${licence})`],
    ...graphs,
    [t("threads"), String(machine.threads.count)],
    [t("software"), `emo-runtime ${runtime}, ONNX Runtime ${onnxruntime}`],
  ]);
}

function fill(id, lines) {
  const made = lines.map(([head, value]) =>
    element("tr", {}, element("th", { scope: "row", text: head }), element("td", { text: value })),
  );
  at(id).tBodies[0].replaceChildren(...made);
}
