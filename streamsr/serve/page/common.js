// What both pages share: asking the server, and the words for what it says of a stream.

const POLL_MS = 1000;
const TIMEOUT_MS = 4000;

export const $ = (id) => document.getElementById(id);

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** A whole address: fetch refuses a relative one on a page whose own address holds a password. */
export const ours = (path) => location.origin + path;

export const named = (kind, name, rest = "") => ours(`/${kind}/${encodeURIComponent(name)}${rest}`);

/** Returns what the server has at an address, as JSON. Throws an Error for people. */
export async function ask(address) {
  let response;
  try {
    response = await fetch(address, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new Error("the server does not answer");
  }
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

/** Asks once a second for as long as the page is open: `show(answer)` or `failed(error)`. */
export async function poll(address, show, failed) {
  for (;;) {
    try {
      show(await ask(address));
    } catch (error) {
      failed(error);
    }
    await sleep(POLL_MS);
  }
}

export const WORDS = {
  starting: "starting",
  live: "live",
  down: "source away",
  ended: "ended",
  disabled: "switched off",
  lost: "not connected",
};

export const number = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : "–");

/** A measure of a live stream; a stream that is not has none. */
export const measure = (status, key, digits) =>
  number(status?.state === "live" ? status[key] : null, digits);

export const size = (text) => text.replace("x", "\u2009×\u2009");

export const sizes = (status) =>
  (status.input && status.output ? `${size(status.input)} → ${size(status.output)}` : "–");

/** Whether another model runs than the one that was asked for, in words. */
export const fallback = (status) =>
  (status.wanted && status.model && status.wanted !== status.model
    ? `Fell back to ${status.model}: ${status.wanted} did not keep up.` : "");
