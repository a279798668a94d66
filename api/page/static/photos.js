// Photos, and the questions about them: some at once, again while the service is busy.

import { cardOf, showAnswer, showFault, whatToDo } from "./answers.js";
import { questions } from "./asking.js";
import { at, bytes, element, say } from "./dom.js";
import { call, Gone, Refused } from "./service.js";
import { state, told } from "./state.js";

const AT_ONCE = 4; // requests; browsers open six connections for all tabs, and the state is polled meanwhile
const DECODED_SMALLER = ["image/jpeg", "image/jp2"]; // types that may have more pixels than the limit

export const photos = new Set();

/** Add photos, `{file}` or `{url}`, newest first, and ask about them. */
export function add(sources) {
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

export function remove(photo) {
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
export async function askAbout(photo) {
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
    if (refusal) tellFault(photo, card, new Refused(413, refusal));
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

/** Send a photo to one model, until there is an answer or a fault; once more if nobody answered. */
async function answer(photo, card, signal) {
  const { task, model, prompt, options } = card.question;
  let isRepeated = false;
  while (!signal.aborted) {
    const body = new FormData();
    if (photo.file) body.append("images", photo.file, photo.name);
    else body.append("url", photo.url);
    body.append("model", model);
    if (prompt) body.append("prompt", prompt);
    if (Object.keys(options).length) body.append("options", JSON.stringify(options));
    card.show("Asking …");
    try {
      const reply = await call(task && `/${task}`, { method: "POST", body, signal, priority: "low" }); // the state goes first
      return tellAnswer(photo, card, reply);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 429) await waitFor(error, card, signal);
      else if (!isRepeated && (error instanceof Gone || error.status === 401)) {
        isRepeated = true; // and the photos behind it wait as well
        card.show(element("b", {}, whatToDo(error)[0]), " Asking again when the service answers.");
        await told();
      } else return tellFault(photo, card, error);
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

function tellAnswer(photo, card, reply) {
  const { words, isUnsafe } = showAnswer(photo, card, reply);
  if (photo.reveal.hidden && isUnsafe) { // else a person has chosen already
    photo.reveal.hidden = false;
    showPicture(photo, false);
  }
  say(`${photo.name}, ${card.question.model}: ${words}`);
}

function tellFault(photo, card, error) {
  const words = showFault(card, error, () => inTurn(() => answer(photo, card, photo.stop.signal)));
  say(`${photo.name}, ${card.question.model}: ${words}`);
}
