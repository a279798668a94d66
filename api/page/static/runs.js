// Runs of bulk work: how far each is. Only operators are told.

import { at, bar, count, element, whole } from "./dom.js";
import { key, send } from "./service.js";
import { follow } from "./state.js";

const STATES = { running: "busy", waiting: "unloaded", done: "ready", stopped: "", failed: "failed" }; // their colours

let refusedKey = null; // the key with which the service tells nothing
let asking = false;
let shown = "";

/** Ask for the runs, unless this is not an operator's key. */
async function askForRuns() {
  if (asking || refusedKey === key) return;
  asking = true;
  const asked = key;
  try {
    showRuns((await send("/runs", { signal: AbortSignal.timeout(20000) })).body.runs);
  } catch (error) {
    if ([401, 403].includes(error.status)) {
      refusedKey = asked;
      showRuns([]);
    } // else they are shown as they were: the state tells that the service has a problem
  }
  asking = false;
}

/** Show each run; do not touch them while they stay the same, as somebody may be selecting text. */
function showRuns(runs) {
  const rows = runs.map((run) => [run, factsOf(run)]);
  const now = JSON.stringify(rows.map(([run, facts]) => [run.id, run.name, pillOf(run), facts]));
  if (now === shown) return;
  shown = now;
  at("runs").replaceChildren(...rows.map(([run, facts]) => element("li", {},
    element("div", { class: "line" }, element("b", { dir: "auto" }, run.name), element("span", { class: `pill ${pillOf(run)[0]}` }, pillOf(run)[1])),
    bar(run.total ? run.done / run.total : 1),
    element("p", { class: "hint" }, facts))));
  at("runs").hidden = !runs.length;
}

/** Class and words of a run's state. */
function pillOf({ state, is_silent: isSilent }) {
  const isOver = !["running", "waiting"].includes(state);
  return isSilent && !isOver ? ["failed", "stopped reporting"] : [STATES[state], state];
}

function factsOf({ state, total, done, failed, per_hour: perHour, left_s: left, is_silent: isSilent }) {
  const goesOn = state === "running" && !isSilent;
  return [
    `${whole.format(done)} of ${count(total, "photo")}`,
    goesOn && perHour != null && `${whole.format(Math.round(perHour))} an hour`,
    goesOn && left != null && `done in ${duration(left)}`,
    failed > 0 && `${whole.format(failed)} failed`,
  ].filter(Boolean).join(" · ");
}

function duration(seconds) {
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.round(minutes / 1440)} days`;
}

follow(askForRuns);
