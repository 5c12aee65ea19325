// Requests to the server, with the token and the model that the tab remembers.
import { Problem, problemOf } from "/page/problem.js";
import { load, save } from "/page/storage.js";

let token = load("token") ?? "";

export const getToken = () => token;

export function setToken(value) {
  token = value.trim();
  save("token", token);
}

let bundle = load("bundle") ?? "";

export function setBundle(name) {
  bundle = name;
  save("bundle", bundle);
}

// The query that chooses the model; without one the server's first answers.
export const bundleQuery = () => (bundle ? `?bundle=${encodeURIComponent(bundle)}` : "");

export async function request(path, options = {}) {
  if (/[^\x21-\x7e]/.test(token)) throw new Problem("tokenWrong"); // no header can hold it
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let reply;
  try {
    reply = await fetch(path + bundleQuery(), { ...options, headers });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Problem("unreachable");
  }
  const body = await reply.json().catch(() => null);
  if (body?.error?.kind === "UnknownBundleError" && bundle) {
    setBundle(""); // it is not served any more
    return request(path, options);
  }
  if (!reply.ok || body === null) throw problemOf(reply.ok ? 502 : reply.status, body?.error);
  return body;
}

// A form of the fields that have a value; a list gives several fields of the same name.
export function formOf(fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const part of [value].flat()) if (part) form.append(name, part);
  }
  return form;
}
