// What the model's tasks allow.
export function abilities(tasks) {
  const has = (task) => tasks.includes(task);
  return {
    usesText: has("text") || has("fusion"),
    usesSound: has("audio") || has("fusion"),
    // Without a task for sound alone, an utterance needs its words too.
    needsText: !has("audio") && !has("text"),
  };
}

// Return {task}, or {missing}: the key of the text that says what else is needed.
export function chooseTask(tasks, hasText, hasSound) {
  if (!hasText && !hasSound) return { missing: "noAnswer" };
  if (hasText && hasSound && tasks.includes("fusion")) return { task: "fusion" };
  if (hasText && tasks.includes("text")) return { task: "text" };
  if (hasSound && tasks.includes("audio")) return { task: "audio" };
  return { missing: hasSound ? "needsWords" : "needsSound" };
}
