// Errors in words: a key of the texts (strings-*.js), and the server's message as the detail.
export class Problem extends Error {
  constructor(key, detail = "") {
    super(key);
    this.key = key;
    this.detail = detail;
  }
}

const BY_STATUS = {
  401: "tokenWrong", 403: "forbidden", 408: "tooSlow", 413: "tooLarge", 421: "forbidden",
  429: "busy", 502: "unreachable", 503: "stopping", 504: "tooSlow",
};
const BY_KIND = {
  AudioError: "soundUnusable", TextError: "textUnusable", TooLargeError: "tooLarge",
  OverloadedError: "busy", UnavailableError: "stopping",
};
const BY_MICROPHONE = {
  NotAllowedError: "microphoneDenied", SecurityError: "microphoneDenied",
  NotFoundError: "microphoneMissing", OverconstrainedError: "microphoneMissing",
  NotReadableError: "microphoneBusy", AbortError: "microphoneBusy",
};

// The problem of an error reply; `error` is the server's {kind, message}, if it sent one.
export function problemOf(status, error) {
  const fallback = status >= 500 ? "serverFailed" : "requestWrong";
  const key = BY_STATUS[status] ?? BY_KIND[error?.kind] ?? fallback;
  return new Problem(key, key === "tokenWrong" ? "" : error?.message);
}

export function problemOfMicrophone(error) {
  const key = BY_MICROPHONE[error.name];
  return key ? new Problem(key) : error;
}
