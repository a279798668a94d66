// The same request elsewhere: as curl, in Python, or in PhotoPrism's vision.yml.

import { at, element, say } from "./dom.js";
import { API, key } from "./service.js";

const PHOTOPRISM_TASKS = ["caption", "labels", "nsfw"];
const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const inQuotes = (text) => `"${text.replaceAll(/[\\"]/g, "\\$&")}"`;

export const COPIES = {
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

export function openCopy(photo, question, result, kind) {
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
