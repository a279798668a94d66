// The page at "/": asks the service about photos, and shows what it answers and how it is.
//
// What a model or a file says becomes text of the page and never HTML (`element` alone makes nodes).
// Results and the API key stay in this tab; nothing is stored but the key, until the tab is closed.

const API = new URL("api/v1/vision", document.baseURI).href;
const KEY = "vision-workers-key";
const POLL_MS = 2000;
const SLOWEST_POLL_MS = 15000; // while the service does not answer
const AT_ONCE = 4; // requests; browsers open six connections, and the state is polled meanwhile
const DECODED_SMALLER = ["image/jpeg", "image/jp2"]; // types that may have more pixels than the limit
const PHOTOPRISM_TASKS = ["caption", "labels", "nsfw"];
const RECYCLES = {
  count: "after many images", memory: "memory had grown", slow: "had become slow", operator: "by an operator",
  out_of_memory: "out of memory", crash: "crash", hang: "hang", device: "fault of the device", idle: "idle",
  cancelled: "nobody waited",
};

const at = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en");
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
const megabytes = (mb) => (mb < 1000 ? `${mb} MB` : `${(mb / 1000).toFixed(1)} GB`);
const bytes = (number) => (number < 1e6 ? `${Math.round(number / 1e3)} kB` : `${(number / 1e6).toFixed(1)} MB`);
const count = (number, noun) => `${whole.format(number)} ${noun}${number === 1 ? "" : "s"}`;

/** Make an element; children that are strings become text, and empty ones are left out. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child != null && child !== "" && child !== false));
  return made;
}

/** Have a screen reader say something, also twice in a row. */
function say(text) {
  at("spoken").replaceChildren(element("span", {}, text));
}

// --- the service

let key = sessionStorage.getItem(KEY) ?? "";

/** The service answered, and refused. */
class Refused extends Error {
  constructor(status, message, retryAfter) {
    super(message);
    Object.assign(this, { status, retryAfter });
  }
}

/** Nobody answered. */
class Gone extends Error {}

/** Send a request; return its JSON and where its time went, or throw Refused, Gone or an AbortError. */
async function call(path, init = {}) {
  const encoded = new TextEncoder().encode(key); // a header has bytes, which JavaScript writes as Latin-1
  const headers = key ? { Authorization: `Bearer ${String.fromCharCode(...encoded)}` } : {};
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
    throw new Refused(reply.status, `Something in front of the service answered with status ${reply.status}.`);
  }
  if (reply.ok) return { body, times: timesIn(reply.headers.get("Server-Timing") ?? "") };
  if (reply.status === 401) askForKey(key && "The service does not accept this key.");
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
  key = "";
  sessionStorage.removeItem(KEY);
  at("key-error").textContent = fault;
  at("service").hidden = true;
  at("key-form").hidden = false;
  at("key").value = "";
  at("key").focus();
}

at("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  key = at("key").value.trim();
  at("key-form").hidden = true; // else nothing is asked
  await poll();
  if (!key) return; // it was refused
  sessionStorage.setItem(KEY, key);
  at("key").value = "";
  at("files").focus();
});

// --- how the service is

let state = null; // the latest reply of /models
let polling = false;
let pause = POLL_MS;
let timer = 0;

/** Ask for the state now, and again and again while the tab is seen. */
async function poll() {
  if (polling || document.hidden || !at("key-form").hidden) return;
  polling = true;
  clearTimeout(timer);
  try {
    state = (await call("/models", { signal: AbortSignal.timeout(20000) })).body;
    pause = POLL_MS;
    at("service").hidden = false;
    showState();
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
  at("notice").replaceChildren(...lines.map((line) => element("p", {}, line)));
}

function showTrouble(error) {
  at("status").dataset.health = "bad";
  at("status-line").textContent = "The service does not answer";
  if (error instanceof Gone)
    notice("bad", element("b", {}, "The service does not answer."),
      "It may be restarting. This page tries again by itself; your photos and results stay here.");
  else notice("bad", element("b", {}, "The service has a problem."), error.message);
}

const isUp = (worker) => ["ready", "busy", "degraded", "unloaded"].includes(worker.state);
const takesRequests = (worker) => isUp(worker) || worker.state === "loading";

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
  showModels();
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
  const facts = [["Queue", whole.format(model.queued)]];
  if (worker) {
    facts.unshift(["Device", worker.device || "not known yet"]);
    facts.push(
      ["Busy", percent(worker.utilisation)],
      ["Photos a second", worker.images_per_s.toFixed(1)],
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
      element("p", { class: "hint" }, `Last fault: ${worker.last_error}`),
    element("p", { class: "hint" }, worker?.worker ?? "Requests wait for a worker."));
}

/** A bar that is filled to a share; its text stands beside it. */
function bar(share, mark = null) {
  const filled = element("span", { class: "filled" });
  filled.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  const made = element("span", { class: "bar", "aria-hidden": "true" }, filled);
  if (mark !== null) {
    const line = element("span", { class: "mark" });
    line.style.left = `${100 * mark}%`;
    made.append(line);
  }
  return made;
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

// --- what to ask

const ask = at("ask");
const choices = new Map(); // which models a person chose, by task; until then, the default ones are

/** The models that can be asked now: rows of the catalogue, and the models of Ollama's servers. */
function modelsFor(task) {
  const base = [...ask.querySelectorAll("[data-base]")].map((radio) => radio.value);
  const wanted = task ? [task] : base;
  return state.models
    .filter((model) => model.workers.some(takesRequests) && model.tasks.some((one) => wanted.includes(one)))
    .flatMap((model) => {
      const isDefault = model.default_for.some((one) => wanted.includes(one));
      if (model.name !== "ollama") return [{ name: model.name, isDefault }];
      const names = model.workers.flatMap((worker) => worker.hosts.flatMap((host) => host.models));
      return [...new Set(names)].map((name) => ({ name, isDefault: false }));
    });
}

let shownModels = "";

/** Show the tasks and models that can be chosen; do not touch them while they stay the same. */
function showModels() {
  for (const radio of ask.querySelectorAll("[name=task]"))
    if (radio.value) radio.parentElement.hidden = !modelsFor(radio.value).length && !radio.checked;
  const task = ask.elements.task.value;
  const models = modelsFor(task);
  const shown = JSON.stringify([task, models]);
  if (shown === shownModels) return;
  shownModels = shown;
  const defaults = models.filter((model) => model.isDefault);
  const checked = choices.get(task) ?? new Set((defaults.length ? defaults : models.slice(0, 1)).map(({ name }) => name));
  const focused = document.activeElement?.value;
  at("models").replaceChildren(...models.map(({ name }) =>
    element("label", { class: "choice" },
      element("input", { type: "checkbox", name: "model", value: name, checked: checked.has(name),
        onchange: () => choices.set(task, new Set(checkedModels())) }),
      element("span", {}, name))));
  if (focused) at("models").querySelector(`[value="${CSS.escape(focused)}"]`)?.focus();
  const able = state.models.filter((model) => !task || model.tasks.includes(task)).map((model) => model.name);
  at("no-model").textContent = models.length ? "" : `No model that runs here does this. These do: ${able.join(", ")}.`;
}

const checkedModels = () => [...ask.querySelectorAll("[name=model]:checked")].map((box) => box.value);

/** What the form asks, for each chosen model; throws an Error with what is missing. */
function questions() {
  const fields = ask.elements;
  const task = fields.task.value;
  const prompt = at("prompt").value.trim();
  const needsText = [...ask.querySelectorAll("[data-needs-text]")].some((radio) => radio.checked);
  const models = checkedModels();
  if (needsText && !prompt) {
    at("more").open = true;
    at("prompt").focus();
    throw new Error("Write into the prompt what you want to know.");
  }
  if (!models.length) throw new Error("Choose a model.");
  const options = {};
  for (const field of at("more").querySelectorAll("input"))
    if (field.value !== "") options[field.name] = field.valueAsNumber;
  return models.map((model) => ({ task, model, prompt, options }));
}

ask.addEventListener("change", (event) => event.target.name === "task" && state && showModels());
ask.addEventListener("submit", (event) => {
  event.preventDefault();
  photos.forEach(askAbout);
});
at("clear").addEventListener("click", () => {
  [...photos].forEach(remove);
  at("files").focus();
});

// --- photos

const photos = new Set();

/** Add photos, `{file}` or `{url}`, newest first, and ask about them. */
function add(sources) {
  const added = sources.map(({ file, url }) => {
    const name = file ? file.name || "pasted photo" : url;
    const photo = { file, url, name, blob: file ? URL.createObjectURL(file) : "", stop: new AbortController() };
    photo.figure = figureOf(photo);
    photo.answers = element("div", { class: "answers" });
    photo.node = element("article", { class: "photo", "aria-label": name }, photo.figure, photo.answers);
    photos.add(photo);
    return photo;
  });
  at("results").prepend(...added.map((photo) => photo.node));
  showWhetherEmpty();
  const first = added[0]?.node;
  if (first?.getBoundingClientRect().top > innerHeight / 2) first.scrollIntoView(); // on a phone
  added.forEach(askAbout);
}

function remove(photo) {
  photo.stop.abort();
  URL.revokeObjectURL(photo.blob); // else the browser keeps the photo
  photo.node.remove();
  photos.delete(photo);
  showWhetherEmpty();
}

function showWhetherEmpty() {
  at("empty").hidden = photos.size > 0;
  at("again").disabled = at("clear").disabled = !photos.size;
}

function figureOf(photo) {
  const picture = photo.blob
    ? element("img", { src: photo.blob, alt: `Your photo ${photo.name}` })
    : element("p", { class: "no-preview" }, "Fetched by the service; this page loads nothing from elsewhere.");
  photo.size = new Promise((resolve) => {
    picture.addEventListener("load", () => resolve(picture.naturalWidth * picture.naturalHeight));
    picture.addEventListener("error", () => { // a format that only the service reads
      picture.replaceWith(element("p", { class: "no-preview" }, "This browser cannot show the photo."));
      resolve(0);
    });
    if (!photo.blob) resolve(0);
  });
  photo.reveal = element("button", { type: "button", class: "reveal", hidden: true, "aria-pressed": "false",
    onclick: () => showPicture(photo, photo.figure.classList.contains("blurred")) }, "Show the picture");
  const gone = element("button", { type: "button", class: "plain", onclick: () => {
    const next = photo.node.nextElementSibling?.querySelector("figcaption button") ?? at("files");
    remove(photo);
    next.focus();
  } }, "Remove");
  gone.setAttribute("aria-label", `Remove ${photo.name}`);
  return element("figure", {}, element("div", { class: "picture" }, picture, photo.reveal),
    element("figcaption", {}, element("span", { title: photo.name }, photo.name), gone));
}

/** Show a picture that is not safe, or blur it. */
function showPicture(photo, isShown) {
  photo.figure.classList.toggle("blurred", !isShown);
  photo.reveal.setAttribute("aria-pressed", String(isShown));
  photo.reveal.textContent = isShown ? "Blur the picture" : "Show the picture";
}

/** Return why the service would refuse a photo, before it is sent; empty: it may be sent. */
async function refusalOf(photo) {
  if (!photo.file) return "";
  const { max_body_bytes: most, max_megapixels: pixels } = state.limits;
  if (photo.file.size + 4096 > most) // beside the photo, a request has some fields
    return `The photo has ${bytes(photo.file.size)}, and the service takes at most ${bytes(most)}. Send a smaller copy.`;
  try {
    await photo.file.slice(0, 1).arrayBuffer();
  } catch {
    return "The browser cannot read this file. Was it a folder, or was it moved? Add it again.";
  }
  const seen = (await photo.size) / 1e6;
  if (seen > pixels && !DECODED_SMALLER.includes(photo.file.type))
    return `The photo has ${seen.toFixed(1)} megapixels, and the service takes ${pixels}. Send a smaller copy or a JPEG.`;
  return "";
}

/** Ask what the form says about a photo, each model by itself. */
async function askAbout(photo) {
  at("ask-error").textContent = "";
  photo.stop.abort();
  photo.stop = new AbortController();
  let asked;
  try {
    if (!state) throw new Error("The service has not answered yet. Ask again when it does.");
    asked = questions();
  } catch (error) {
    at("ask-error").textContent = error.message;
    return;
  }
  const { signal } = photo.stop;
  const cards = asked.map((question) => cardOf(question));
  photo.answers.replaceChildren(...cards.map((card) => card.node));
  const refusal = await refusalOf(photo);
  if (signal.aborted) return;
  for (const card of cards)
    if (refusal) showFault(photo, card, new Refused(413, refusal));
    else inTurn(() => answer(photo, card, signal));
}

let running = 0;
const waiting = [];

/** Run something when fewer than AT_ONCE others run. */
async function inTurn(work) {
  if (running >= AT_ONCE) await new Promise((resolve) => waiting.push(resolve));
  running += 1;
  try {
    await work();
  } finally {
    running -= 1;
    waiting.shift()?.();
  }
}

/** Send a photo to one model, until there is an answer or a fault. */
async function answer(photo, card, signal) {
  const { task, model, prompt, options } = card.question;
  while (!signal.aborted) {
    const body = new FormData();
    if (photo.file) body.append("images", photo.file, photo.name);
    else body.append("url", photo.url);
    body.append("model", model);
    if (prompt) body.append("prompt", prompt);
    if (Object.keys(options).length) body.append("options", JSON.stringify(options));
    card.show("Asking …");
    try {
      const reply = await call(task && `/${task}`, { method: "POST", body, signal });
      return showAnswer(photo, card, reply);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status !== 429) return showFault(photo, card, error);
      await waitFor(error, card, signal);
    }
  }
}

/** The service has too much to do: wait as long as it says, and say so. */
async function waitFor(error, card, signal) {
  say(`${card.question.model} is busy. It is asked again in ${error.retryAfter} seconds.`);
  for (let left = error.retryAfter; left > 0 && !signal.aborted; left -= 1) {
    card.show(element("b", {}, "The service is busy."), ` Asking again in ${left} s. `,
      element("span", { class: "hint" }, error.message));
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

// --- answers

function cardOf(question) {
  const body = element("div", { class: "body" });
  const times = element("p", { class: "times" });
  const foot = element("footer", { hidden: true });
  const node = element("div", { class: "card answer", role: "group", "aria-label": `${question.model} says` },
    element("header", {}, element("h3", {}, question.model), times), body, foot);
  const show = (...nodes) => {
    node.setAttribute("aria-busy", "true");
    body.replaceChildren(element("p", { class: "asking" }, ...nodes));
  };
  const end = (...nodes) => {
    node.setAttribute("aria-busy", "false");
    body.replaceChildren(...nodes.filter(Boolean));
  };
  show("Waiting for its turn …");
  return { question, node, times, foot, show, end };
}

function showAnswer(photo, card, { body, times }) {
  const { model } = card.question;
  const parts = Object.entries(body.result).map(([task, value]) => (SHOWN[task] ?? asJson)(value, task));
  card.end(...parts.map((part) => part.node));
  if (!parts.length) card.end(element("p", { class: "hint" }, "The model has nothing to say about this photo."));
  if (times.predict !== undefined)
    card.times.append(...[["queue", "queued"], ["prepare", "decoding"], ["predict", "in the model"]]
      .filter(([phase]) => phase in times)
      .map(([phase, words]) => element("span", {}, element("b", {}, `${whole.format(Math.round(times[phase]))} ms`), ` ${words}`)));
  card.foot.hidden = false;
  card.foot.replaceChildren(element("span", {}, "Copy as"), ...Object.keys(COPIES).map((kind) =>
    element("button", { type: "button", class: "plain", onclick: () => openCopy(photo, card.question, body.result, kind) },
      kind)));
  if (photo.reveal.hidden && parts.some((part) => part.isUnsafe)) { // else a person has chosen already
    photo.reveal.hidden = false;
    showPicture(photo, false);
  }
  say(`${photo.name}, ${model}: ${parts.map((part) => part.words).join(". ")}`);
}

/** How the answer to each task is shown: a node, and the same in words. */
const SHOWN = {
  caption: ({ text, confidence, composed_from: source }) => ({
    words: text,
    node: element("div", {}, element("p", { class: "caption" }, text),
      source && element("p", { class: "hint" }, `Put together from ${source}.`),
      confidence != null && element("p", { class: "hint" }, `Confidence ${percent(confidence)}.`)),
  }),
  labels: (labels) => ({
    words: labels.map((label) => `${label.name} ${percent(label.confidence)}`).join(", ") || "no labels",
    node: labels.length
      ? element("ol", { class: "labels" }, labels.map((label) => element("li", {},
          element("span", { class: "name" }, label.name), bar(label.confidence),
          element("span", { class: "number" }, percent(label.confidence)),
          label.categories.length > 0 && element("span", { class: "chips" },
            label.categories.map((category) => element("span", { class: "chip" }, category))))))
      : element("p", { class: "hint" }, "No label is likely enough."),
  }),
  nsfw: ([verdict]) => ({
    words: VERDICTS[verdict.status],
    isUnsafe: verdict.status === "unsafe",
    node: element("div", { class: `verdict ${verdict.status}` },
      element("p", {}, element("b", {}, VERDICTS[verdict.status]), " ", verdict.score == null
        ? verdict.reason
        : `NSFW score ${percent(verdict.score)}, not safe from ${percent(verdict.threshold)}`),
      verdict.score != null && bar(verdict.score, verdict.threshold),
      element("p", { class: "hint" }, ["Neutral", "Drawing", "Sexy", "Porn", "Hentai"].filter((name) => name in verdict)
        .map((name) => `${name} ${percent(verdict[name])}`).join(" · "))),
  }),
  answer: ({ text }) => ({ words: text, node: element("p", { class: "written" }, text) }),
};
const VERDICTS = { safe: "Safe", unsafe: "Not safe", unavailable: "No verdict" };

function asJson(value, task) {
  const text = JSON.stringify(value, null, 1);
  return { words: `${task}: an answer in JSON`,
    node: element("pre", { tabindex: "0", role: "region", "aria-label": `${task} as JSON` }, text) };
}

function showFault(photo, card, error) {
  const [title, advice] = whatToDo(error);
  const isFinal = [400, 413, 415, 422].includes(error.status);
  card.end(element("div", { class: "failed" }, element("b", {}, title),
    error.message && element("p", {}, error.message), advice && element("p", { class: "hint" }, advice),
    !isFinal && element("button", { type: "button", onclick: () => {
      card.node.tabIndex = -1;
      card.node.focus(); // the button disappears
      inTurn(() => answer(photo, card, photo.stop.signal));
    } }, "Try again")));
  say(`${photo.name}, ${card.question.model}: ${title} ${error.message}`);
}

function whatToDo(error) {
  if (error instanceof Gone) return ["The service does not answer.", "Try again when it is back."];
  switch (error.status) {
    case 400: case 413: case 415: case 422: return ["The photo was refused.", ""];
    case 401: return ["A key is needed.", ""];
    case 404: return ["The service cannot do this.", ""];
    case 502: return ["The photo could not be fetched.", ""];
    case 503: return ["No worker can answer now.", "The state of the service, above, says which models run."];
    case 504: return ["It took too long.", "The queue may be long, or the model slow on this machine."];
    default: return ["The model could not answer.", ""];
  }
}

// --- copying

const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const inQuotes = (text) => `"${text.replaceAll(/[\\"]/g, "\\$&")}"`;

const COPIES = {
  curl({ photo, url, fields }) {
    const image = photo.file ? `-F ${shell(`images=@${inQuotes(photo.name)}`)}` : `--form-string ${shell(`url=${photo.url}`)}`;
    return ["curl", key && '-H "Authorization: Bearer $VISION_API_KEY"', image,
      ...fields.map(([name, value]) => `--form-string ${shell(`${name}=${value}`)}`), shell(url)]
      .filter(Boolean).join(" \\\n  ");
  },
  Python({ photo, url, fields }) {
    const all = photo.file ? fields : [["url", photo.url], ...fields];
    const lines = [
      `reply = requests.post(`,
      `    ${JSON.stringify(url)},`,
      key && `    headers={"Authorization": "Bearer " + os.environ["VISION_API_KEY"]},`,
      `    data={${all.map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`).join(", ")}},`,
      photo.file && `    files={"images": photo},`,
      `    timeout=600,`,
      `)`,
    ].filter(Boolean);
    const request = photo.file
      ? [`with open(${JSON.stringify(photo.name)}, "rb") as photo:`, ...lines.map((line) => `    ${line}`)]
      : lines;
    return [key && "import os\n", "import requests\n", ...request, "reply.raise_for_status()", 'print(reply.json()["result"])']
      .filter(Boolean).join("\n");
  },
  "vision.yml"({ question, result }) {
    const names = { temperature: "Temperature", top_p: "TopP", top_k: "TopK", num_predict: "NumPredict",
      repeat_penalty: "RepeatPenalty", seed: "Seed" };
    const tasks = PHOTOPRISM_TASKS.filter((task) => task in result);
    if (!tasks.length) return "# PhotoPrism asks for captions, labels and NSFW scores only.";
    const options = Object.entries(question.options);
    const lines = tasks.flatMap((task) => [
      `  - Type: ${task}`,
      `    Name: ${JSON.stringify(question.model)}`,
      question.prompt && `    Prompt: ${JSON.stringify(question.prompt)}`,
      options.length && "    Options:",
      ...options.map(([name, value]) => `      ${names[name]}: ${value}`),
      "    Service:",
      `      Uri: ${API}/${task}`,
      key && "      Key: choose-a-key   # one of VISION_API_KEYS",
    ]);
    const threshold = result.nsfw?.[0].threshold;
    if (threshold != null)
      lines.push("Thresholds:", ...["NSFWIndex", "NSFWUpload"].map((name) => `  ${name}: ${Math.round(100 * threshold)}`));
    return ["# With the address at which PhotoPrism reaches this service.", "Models:", ...lines].filter(Boolean).join("\n");
  },
};
const COPY_HINTS = {
  curl: "Run it in the folder of the photo.",
  Python: "Needs the package requests. Run it in the folder of the photo.",
  "vision.yml": "For PhotoPrism's storage/config/vision.yml. Restart PhotoPrism after a change.",
};

function openCopy(photo, question, result, kind) {
  const { task, model, prompt, options } = question;
  const fields = [["model", model], ["prompt", prompt], ["options", Object.keys(options).length ? JSON.stringify(options) : ""]]
    .filter(([, value]) => value);
  const asked = { photo, question, result, fields, url: task ? `${API}/${task}` : API };
  const show = (chosen) => {
    at("copy-text").value = COPIES[chosen](asked);
    at("copy-hint").textContent = COPY_HINTS[chosen] + (key && chosen !== "vision.yml"
      ? " Put the key into the environment as VISION_API_KEY." : "");
    at("copy-button").textContent = "Copy";
  };
  at("copy-kinds").replaceChildren(...Object.keys(COPIES).map((name) => element("label", { class: "choice" },
    element("input", { type: "radio", name: "kind", checked: name === kind, onchange: () => show(name) }),
    element("span", {}, name))));
  show(kind);
  at("copy").showModal();
}

at("copy-button").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(at("copy-text").value);
  } catch { // there is no clipboard without HTTPS, except on this machine
    at("copy-text").select();
    document.execCommand("copy");
  }
  at("copy-button").textContent = "Copied";
  say("Copied");
});

// --- choosing, dropping, pasting

at("files").addEventListener("change", () => {
  add([...at("files").files].map((file) => ({ file })));
  at("files").value = ""; // so that the same file can be chosen again
});

at("url-form").addEventListener("submit", (event) => {
  event.preventDefault();
  add([{ url: at("url").value.trim() }]);
  at("url").value = "";
});

/** Add what was dropped or pasted: files, or else the address of a photo. Returns whether there was any. */
function addFrom(data) {
  const files = [...data.files];
  const url = (data.getData("text/uri-list") || data.getData("text/plain")).trim().split("\n")[0].trim();
  if (files.length) add(files.map((file) => ({ file })));
  else if (/^https?:\/\/\S+$/.test(url)) add([{ url }]);
  else return false;
  return true;
}

const canAdd = () => !at("service").hidden && !at("copy").open;
document.addEventListener("paste", (event) => {
  const isText = event.target.matches?.("input, textarea") && !event.clipboardData.files.length;
  if (canAdd() && !isText && addFrom(event.clipboardData)) event.preventDefault();
});
document.addEventListener("dragover", (event) => {
  event.preventDefault(); // else the browser would leave the page and open the file
  at("drop").classList.toggle("over", canAdd());
});
for (const type of ["dragleave", "drop"])
  document.addEventListener(type, (event) => {
    if (type === "drop") event.preventDefault();
    at("drop").classList.remove("over");
    if (type === "drop" && canAdd()) addFrom(event.dataTransfer);
  });

// --- start

document.addEventListener("visibilitychange", poll); // a hidden tab asks nothing
if (key) at("key-form").hidden = true;
poll();
