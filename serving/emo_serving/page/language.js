// The language of the page: Spanish or English, by the browser's languages or by choice.
import en from "/page/strings-en.js";
import es from "/page/strings-es.js";
import { load, save } from "/page/storage.js";

const STRINGS = { en, es };

let language = preferred();

function preferred() {
  const known = [load("language"), ...navigator.languages].map((tag) => tag?.slice(0, 2));
  return known.find((tag) => tag in STRINGS) ?? "en";
}

export const current = () => language;

export function switchLanguage() {
  language = language === "es" ? "en" : "es";
  save("language", language);
  translatePage();
}

// Return a text; {name} stands for a value.
export function t(key, values = {}) {
  const text = STRINGS[language].texts[key] ?? key;
  return text.replace(/{(\w+)}/g, (all, name) => values[name] ?? all);
}

export const labelName = (label) => STRINGS[language].labels[label.toLowerCase()] ?? label;

// Return the text for a note's code, or the server's own message for an unknown code.
export const noteText = (note) => STRINGS[language].notes[note.code] ?? note.message;

export function percent(share) {
  const format = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 });
  return share > 0 && share < 0.005 ? `<${format.format(0.01)}` : format.format(share);
}

export function decimal(value, digits = 1) {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(language, options).format(value);
}

export function translatePage() {
  document.documentElement.lang = language;
  document.title = t("title");
  for (const part of document.querySelectorAll("[data-text]")) part.textContent = t(part.dataset.text);
  const button = document.getElementById("language");
  button.textContent = t("otherLanguage");
  button.lang = language === "es" ? "en" : "es";
}
