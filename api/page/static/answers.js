// What models answer, each in a card of its own.

import { COPIES, openCopy } from "./copying.js";
import { bar, element, percent, whole } from "./dom.js";
import { Gone } from "./service.js";

export function cardOf(question) {
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

/** Show an answer; return it in words, and whether it says that the photo is not safe. */
export function showAnswer(photo, card, { body, times }) {
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
  return { words: parts.map((part) => part.words).join(". "), isUnsafe: parts.some((part) => part.isUnsafe) };
}

/** How the answer to each task is shown: a node, and the same in words. */
const SHOWN = {
  caption: ({ text, confidence, composed_from: source }) => ({
    words: text,
    node: element("div", {}, element("p", { class: "caption", dir: "auto" }, text),
      source && element("p", { class: "hint" }, `Composed from ${source}.`),
      confidence != null && element("p", { class: "hint" }, `Confidence ${percent(confidence)}.`)),
  }),
  labels: (labels) => ({
    words: labels.map((label) => `${label.name} ${percent(label.confidence)}`).join(", ") || "no labels",
    node: labels.length
      ? element("ol", { class: "labels" }, labels.map((label) => element("li", {},
          element("span", { class: "name", dir: "auto" }, label.name), bar(label.confidence),
          element("span", { class: "number" }, percent(label.confidence)),
          label.categories.length > 0 && element("span", { class: "chips" },
            label.categories.map((category) => element("span", { class: "chip", dir: "auto" }, category))))))
      : element("p", { class: "hint" }, "No label is likely enough."),
  }),
  nsfw: ([verdict]) => ({
    words: VERDICTS[verdict.status],
    isUnsafe: verdict.status === "unsafe",
    node: element("div", { class: `verdict ${verdict.status}` },
      element("p", {}, element("b", {}, VERDICTS[verdict.status]), " ", verdict.score == null
        ? verdict.reason
        : `NSFW score ${percent(verdict.score)}, unsafe from ${percent(verdict.threshold)}`),
      verdict.score != null && bar(verdict.score, verdict.threshold),
      element("p", { class: "hint" }, ["Neutral", "Drawing", "Sexy", "Porn", "Hentai"].filter((name) => name in verdict)
        .map((name) => `${name} ${percent(verdict[name])}`).join(" · "))),
  }),
  answer: ({ text }) => ({ words: text, node: element("p", { class: "written", dir: "auto" }, text) }),
};
const VERDICTS = { safe: "Safe", unsafe: "Not safe", unavailable: "No verdict" };

function asJson(value, task) {
  const text = JSON.stringify(value, null, 1);
  return { words: `${task}: an answer in JSON`,
    node: element("pre", { tabindex: "0", role: "region", "aria-label": `${task} as JSON` }, text) };
}

/** Show why there is no answer, and offer to ask again; return it in words. */
export function showFault(card, error, again) {
  const [title, advice] = whatToDo(error);
  const isFinal = [400, 413, 415, 422].includes(error.status);
  card.end(element("div", { class: "failed" }, element("b", {}, title),
    error.message && element("p", {}, error.message), advice && element("p", { class: "hint" }, advice),
    !isFinal && element("button", { type: "button", onclick: () => {
      card.node.tabIndex = -1;
      card.node.focus(); // the button disappears
      again();
    } }, "Try again")));
  return `${title} ${error.message}`;
}

/** What a fault means, and what a person can do. */
export function whatToDo(error) {
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
