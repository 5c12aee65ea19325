// Whether an answer is clear enough to be shown as one.
const WEAK_INPUT = new Set(["silent", "too_short", "transcript_without_speech", "unknown_text"]);
const THRESHOLD = 0.5; // of a label in a multi-label model

// Return {kind, labels}; kind is "clear", "between", "weak", "input" or "none".
export function certainty(answer) {
  const ranked = Object.entries(answer.scores).sort((a, b) => b[1] - a[1]);
  const names = ranked.map(([label]) => label);
  if (answer.notes.some((note) => WEAK_INPUT.has(note.code))) return { kind: "input", labels: names };
  const sum = ranked.reduce((total, [, score]) => total + score, 0);
  if (Math.abs(sum - 1) > 1e-4) { // a multi-label model
    const found = ranked.filter(([, score]) => score >= THRESHOLD).map(([label]) => label);
    return { kind: found.length ? "clear" : "none", labels: found };
  }
  const [first, second] = ranked.map(([, score]) => score);
  if (second > first / 2) return { kind: "between", labels: names.slice(0, 2) };
  return { kind: answer.uncertain ? "weak" : "clear", labels: names.slice(0, 1) };
}
