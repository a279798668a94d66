// How the service is: asked every two seconds while the tab is seen.

import { at, bar, count, element, megabytes, percent, whole } from "./dom.js";
import { call, Gone } from "./service.js";

const POLL_MS = 2000;
const SLOWEST_POLL_MS = 15000; // while the service does not answer
const RECYCLES = {
  count: "after many images", memory: "memory had grown", slow: "had become slow", operator: "by an operator",
  out_of_memory: "out of memory", crash: "crash", hang: "hang", device: "fault of the device", idle: "idle",
  cancelled: "nobody waited",
};

export let state = null; // the latest reply of /models
const followers = [];

/** Have a function called each time that the state has come. */
export const follow = (show) => followers.push(show);

const waiting = []; // who waits until the service tells its state

/** Return when the service has told its state: it neither is gone nor wants a key. */
export const told = () => new Promise((resolve) => {
  waiting.push(resolve);
  poll();
});

let polling = false;
let pause = POLL_MS;
let timer = 0;

/** Ask for the state now, and again and again while the tab is seen. */
export async function poll() {
  if (polling || (document.hidden && !waiting.length) || !at("key-form").hidden) return;
  polling = true;
  clearTimeout(timer);
  try {
    state = (await call("/models", { signal: AbortSignal.timeout(20000) })).body;
    pause = POLL_MS;
    at("service").hidden = false;
    showState();
    followers.forEach((show) => show());
    waiting.splice(0).forEach((goOn) => goOn());
  } catch (error) {
    pause = Math.min(2 * pause, SLOWEST_POLL_MS);
    if (error.status !== 401) showTrouble(error);
  }
  polling = false;
  timer = setTimeout(poll, pause);
}

let noticed = "";

/** Show a notice above everything; `lines` are strings and nodes, and none at all hide it. */
function notice(kind, ...lines) {
  const text = JSON.stringify([kind, ...lines.map((line) => line.textContent ?? line)]);
  if (text === noticed) return; // else a screen reader would read it again and again
  noticed = text;
  at("notice").className = lines.length ? `notice ${kind}` : "";
  at("notice").replaceChildren(...lines.filter(Boolean).map((line) => element("p", {}, line)));
}

function showTrouble(error) {
  at("status").dataset.health = "bad";
  at("status-line").textContent = "The service does not answer";
  if (error instanceof Gone)
    notice("bad", element("b", {}, "The service does not answer."),
      error.message, "It may be restarting. This page tries again by itself; your photos and results stay here.");
  else notice("bad", element("b", {}, "The service has a problem."), error.message);
}

const isUp = (worker) => ["ready", "busy", "degraded", "unloaded"].includes(worker.state);
export const takesRequests = (worker) => isUp(worker) || worker.state === "loading";

function showState() {
  // Rows for single models of Ollama have the workers and the queue of the row `ollama`.
  const running = state.models.filter((model) =>
    (model.workers.length || model.queued) && (model.family !== "ollama" || model.name === "ollama"));
  const workers = running.flatMap((model) => model.workers);
  const up = running.filter((model) => model.served);
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const memory = sum(workers.map((worker) => worker.memory_mb));
  const recycles = sum(workers.flatMap((worker) => Object.values(worker.recycles)));
  const devices = [...new Set(workers.map((worker) => worker.device).filter(Boolean))];
  const isWell = up.length > 0 && workers.every((worker) => isUp(worker) && worker.state !== "degraded");
  at("status").dataset.health = isWell ? "good" : up.length ? "fair" : "bad";
  at("status-line").textContent = [
    up.length ? `${count(up.length, "model")} ready` : "No model is ready",
    count(workers.length, "worker"), devices.join(", "),
    `${whole.format(sum(running.map((model) => model.queued)))} queued`,
    memory ? `${megabytes(memory)} of memory` : "", recycles ? count(recycles, "recycle") : "",
  ].filter(Boolean).join(" · ");
  showWorkers(running);
  showFlower();
  showWhetherServed(workers, up);
}

let shownWorkers = "";

/** Show each worker; do not touch them while they stay the same, as somebody may be selecting text. */
function showWorkers(running) {
  const shown = JSON.stringify(running);
  if (shown === shownWorkers) return;
  shownWorkers = shown;
  const rest = state.models.filter((model) => !running.includes(model) && model.name !== "ollama");
  at("workers").replaceChildren(
    element("ul", { class: "workers" }, running.flatMap((model) =>
      model.workers.length ? model.workers.map((worker) => workerRow(model, worker)) : [workerRow(model, null)])),
    rest.length ? element("p", { class: "hint" },
      `In the catalogue, not running: ${rest.map((model) => model.name).join(", ")}.`) : "",
  );
}

function workerRow(model, worker) {
  const bulk = model.queued_bulk ? ` (${whole.format(model.queued_bulk)} bulk)` : "";
  const facts = [["Queue", whole.format(model.queued) + bulk]];
  if (worker) {
    facts.unshift(["Device", worker.device || "not known yet"]);
    facts.push(
      ["Busy", percent(worker.utilisation)],
      ["Photos per second", worker.images_per_s.toFixed(1)],
      ["Memory", worker.memory_mb ? [`${megabytes(worker.memory_mb)} of ${megabytes(worker.memory_limit_mb)}`,
        bar(worker.memory_mb / (worker.memory_limit_mb || 1))] : "none"],
      ["Recycles", Object.entries(worker.recycles).map(
        ([reason, times]) => `${times} × ${RECYCLES[reason] ?? reason}`).join(", ") || "none"],
    );
  }
  const state = worker?.state ?? "no worker";
  return element("li", {},
    element("div", { class: "line" },
      element("b", {}, model.name), element("span", { class: `pill ${worker?.state ?? "failed"}` }, state)),
    element("dl", {}, facts.map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
    worker?.reason && element("p", { class: "hint" }, worker.reason),
    worker?.last_error && worker.last_error !== worker.reason &&
      element("p", { class: "hint" }, `Last error: ${worker.last_error}`),
    element("p", { class: "hint" }, worker?.worker ?? "Requests wait for a worker."));
}

/** Link to Flower; at an address of its own machine only a browser there can reach it. */
function showFlower() {
  const isLocal = (host) => /^(localhost|127\.[\d.]+|\[::1\])$/.test(host);
  const url = state.flower_url && new URL(state.flower_url);
  at("flower").hidden = !url || (isLocal(url.hostname) && !isLocal(location.hostname));
  if (url) at("flower").href = url;
}

function showWhetherServed(workers, up) {
  if (up.length) return notice("");
  const failed = workers.find((worker) => worker.state === "failed");
  if (failed)
    return notice("bad", element("b", {}, `${failed.model} cannot be loaded.`), failed.reason,
      "Its worker tries again by itself. Its log says more.");
  if (workers.length)
    return notice("fair", element("b", {}, "The models are being loaded."),
      `${[...new Set(workers.map((worker) => `${worker.model}: ${worker.state}`))].join(", ")}. ` +
      "You can add photos already; they wait.");
  return notice("bad", element("b", {}, "No worker serves a model."),
    ["Start one on the service's machine: ", element("code", {}, "make run"), ", ",
      element("code", {}, "docker compose up -d"), ", or ", element("code", {}, "python -m workers MODEL"),
      " with the same Redis. If they run already, their logs say what is wrong."]
      .reduce((line, part) => (line.append(part), line), element("span")));
}
