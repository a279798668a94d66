// What to ask: the form with tasks, models, prompt and options.

import { at, element } from "./dom.js";
import { follow, state, takesRequests } from "./state.js";

export const ask = at("ask");
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
export function questions() {
  const fields = ask.elements;
  const task = fields.task.value;
  const prompt = at("prompt").value.trim();
  const needsText = [...ask.querySelectorAll("[data-needs-text]")].some((radio) => radio.checked);
  const models = checkedModels();
  if (!ask.reportValidity()) throw new Error("Correct the marked option.");
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

ask.addEventListener("invalid", () => { at("more").open = true; }, true); // else the browser marks nothing
ask.addEventListener("change", (event) => event.target.name === "task" && state && showModels());
follow(showModels);
