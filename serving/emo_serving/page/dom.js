// Helpers for elements. Text is always inserted as text, never as HTML.
const SVG = "http://www.w3.org/2000/svg";

export const at = (id) => document.getElementById(id);

export function element(name, { text, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

export function drawing(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Give an element the colour of a label (page.css).
export function colour(target, label, labels) {
  target.dataset.label = label;
  target.style.setProperty("--hue", String((labels.indexOf(label) * 137) % 360));
  return target;
}
