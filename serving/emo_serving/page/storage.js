// Values that are kept for the tab. A browser may forbid storage: then nothing is kept.
export function load(name) {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null;
  }
}

export function save(name, value) {
  try {
    if (value) sessionStorage.setItem(name, value);
    else sessionStorage.removeItem(name);
  } catch {
    // The value lasts as long as the page.
  }
}
