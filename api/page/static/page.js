// The page at "/": asks the service about photos, and shows what it answers and how it is.
//
// Results stay in this tab; nothing is stored but the key, until the tab is closed.

import { ask } from "./asking.js";
import { at } from "./dom.js";
import { add, askAbout, photos, remove } from "./photos.js";
import "./runs.js";
import { keepKey, key, useKey } from "./service.js";
import { poll } from "./state.js";

at("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  useKey(at("key").value.trim());
  at("key-form").hidden = true; // else nothing is asked
  await poll();
  if (!key) return; // it was refused
  keepKey();
  at("key").value = "";
  at("files").focus();
});

ask.addEventListener("submit", (event) => {
  event.preventDefault();
  photos.forEach(askAbout);
});
at("clear").addEventListener("click", () => {
  [...photos].forEach(remove);
  at("files").focus();
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
