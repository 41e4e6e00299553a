// Asking the server: addresses below wherever the page is, answers as JSON, refusals in words.

const POLL_MS = 1000;
const TIMEOUT_MS = 4000;
const LONGEST_TEXT = 400; // characters of a refusal that are shown

const REFUSALS = {
  401: "the token is missing, wrong or over: reload the page to give it",
  403: "the server refuses this page",
  404: "the server does not have it",
  429: "the server was asked too often from here",
  502: "the proxy in between does not reach streamsr",
  504: "the proxy in between does not reach streamsr",
};

// Below any path that a proxy adds; without a password that the page's own address may hold, which
// fetch refuses.
const root = new URL("..", import.meta.url);
root.username = "";
root.password = "";

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export const ours = (path) => new URL(path, root).href;

export const named = (kind, name, rest = "") => ours(`${kind}/${encodeURIComponent(name)}${rest}`);

export const socket = (address) => address.replace(/^http/, "ws");

/** The stream that the page's own address names; undefined where it names none. */
export function watched() {
  const [kind, name] = location.pathname.slice(root.pathname.length).split("/");
  return kind === "watch" ? decodeURIComponent(name) : undefined;
}

/** An Error for people from a response that is not the one asked for, with when to ask again. */
export async function refusal(response) {
  const said = (await saidBy(response)).trim().slice(0, LONGEST_TEXT);
  const words = REFUSALS[response.status];
  const text = words && said ? `${words} (${said})` : words || said;
  const error = new Error(text || `the server answers ${response.status}`);
  error.status = response.status;
  const retryS = Number(response.headers.get("Retry-After"));
  if (retryS > 0) error.retryMs = retryS * 1000;
  return error;
}

/** What a response says in words: text, or a problem of the API (RFC 9457). */
async function saidBy(response) {
  const type = response.headers.get("Content-Type") ?? "";
  if (type.startsWith("application/problem+json")) return (await response.json()).detail ?? "";
  // A proxy's own answer is a page, which says less than its status.
  return type.startsWith("text/plain") ? response.text() : "";
}

/** Returns what the server has at an address, as JSON. Throws an Error for people. */
export async function ask(address) {
  let response;
  try {
    response = await fetch(address, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new Error("the server does not answer");
  }
  if (!response.ok) throw await refusal(response);
  return response.json();
}

/** The same, of what a server need not have: undefined where it has not. */
export async function askOptional(address) {
  try {
    return await ask(address);
  } catch {
    return undefined;
  }
}

/** Asks once a second for as long as the page is open: `show(answer)` or `failed(error)`. */
export async function poll(address, show, failed) {
  for (;;) {
    let wait = POLL_MS;
    try {
      show(await ask(address));
    } catch (error) {
      failed(error);
      wait = error.retryMs ?? wait;
    }
    await sleep(wait);
  }
}
