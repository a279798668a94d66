// Requests to the service, and the API key: it stays in this tab, and is forgotten when the tab is closed.

import { at } from "./dom.js";

export const API = new URL("api/v1/vision", document.baseURI).href;
const KEY = "vision-workers-key";

export let key = sessionStorage.getItem(KEY) ?? "";

/** The service answered, and refused. */
export class Refused extends Error {
  constructor(status, message, retryAfter) {
    super(message);
    Object.assign(this, { status, retryAfter });
  }
}

/** Nobody answered, or a proxy did in the service's place. */
export class Gone extends Error {}

/** Send a request, and ask for a key if the service wants one; else as `send`. */
export async function call(path, init = {}) {
  const sent = key;
  try {
    return await send(path, init);
  } catch (error) { // if another key has been given meanwhile, that one is not at fault
    if (error.status === 401 && sent === key) askForKey(key && "The service does not accept this key.");
    throw error;
  }
}

/** Send a request; return its JSON and where its time went, or throw Refused, Gone or an AbortError. */
export async function send(path, init = {}) {
  const encoded = new TextEncoder().encode(key); // a header has bytes, which JavaScript writes as Latin-1
  const headers = { "X-Requested-With": "fetch" }; // else the browser asks for a password, and not the page for a key
  if (key) headers.Authorization = `Bearer ${String.fromCharCode(...encoded)}`;
  let reply, body;
  try {
    reply = await fetch(API + path, { ...init, headers, cache: "no-store" });
    body = await reply.text();
  } catch (error) {
    throw error.name === "AbortError" ? error : new Gone();
  }
  try {
    body = JSON.parse(body);
  } catch {
    const words = `Something in front of the service answered with status ${reply.status}.`;
    throw [502, 503, 504].includes(reply.status) ? new Gone(words) : new Refused(reply.status, words);
  }
  if (reply.ok) return { body, times: timesIn(reply.headers.get("Server-Timing") ?? "") };
  throw new Refused(reply.status, body.error, Number(reply.headers.get("Retry-After")) || 5);
}

/** Read `queue;desc="blip";dur=1.5, …`: milliseconds by phase, of all models together. */
function timesIn(header) {
  const times = {};
  for (const [, phase, ms] of header.matchAll(/(\w+);desc="(?:[^"\\]|\\.)*";dur=([\d.]+)/g))
    times[phase] = (times[phase] ?? 0) + Number(ms);
  return times;
}

/** Show nothing of the service until a key is given. */
function askForKey(fault) {
  if (!at("key-form").hidden) return; // somebody may be typing it
  key = "";
  sessionStorage.removeItem(KEY);
  at("key-error").textContent = fault;
  at("service").hidden = true;
  at("key-form").hidden = false;
  at("key").value = "";
  at("key").focus();
}

/** Use a key from now on. */
export function useKey(given) {
  key = given;
}

/** Keep the key until the tab is closed. */
export function keepKey() {
  sessionStorage.setItem(KEY, key);
}
