// The page's parts: what a model or a file says becomes text and never HTML (`element` alone makes nodes).

export const at = (id) => document.getElementById(id);
export const whole = new Intl.NumberFormat("en");
export const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
export const megabytes = (mb) => (mb < 1000 ? `${mb} MB` : `${(mb / 1000).toFixed(1)} GB`);
export const bytes = (number) => (number < 1e6 ? `${Math.round(number / 1e3)} kB` : `${(number / 1e6).toFixed(1)} MB`);
export const count = (number, noun) => `${whole.format(number)} ${noun}${number === 1 ? "" : "s"}`;

/** Make an element; children that are strings become text, and empty ones are left out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child != null && child !== "" && child !== false));
  return made;
}

/** Have a screen reader say something, also twice in a row. */
export function say(text) {
  at("spoken").replaceChildren(element("span", {}, text));
}

/** A bar that is filled to a share; its text stands beside it. */
export function bar(share, mark = null) {
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
