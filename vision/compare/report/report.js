// Voting in a report of `vision compare`: blind, by mouse or keys, kept in this browser.
//
// Everything else in the page is there without this script. Answers are shown by copying the elements
// that the report has of them, so no text is ever read as HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const KEY = `vision-compare:${data.id}`;
const NONE = "none", EQUAL = "equal";
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const UNLIKELY = 0.05; // a lead this improbable by chance counts as one

const at = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });
const percent = (share) => `${(100 * share).toFixed(0)} %`;

/** Make an element; children that are strings become text. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child));
  return made;
}

/** Have a screen reader say something, also twice in a row. */
function say(text) {
  at("spoken").replaceChildren(element("span", {}, text));
}

// --- what is kept

const contests = data.tasks.filter((task) => task.ballots.length);
let kept = { seed: Math.floor(Math.random() * 2 ** 31), unveiled: false, votes: {} };
try {
  kept = { ...kept, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
} catch {
  at("kept").textContent = "This browser keeps no data for local files: save the votes before you close the page.";
}

function keep() {
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    at("kept").textContent = "This browser does not keep the votes: save them before you close the page.";
  }
}

const votesOn = (contest) => kept.votes[contest.task] ?? {};

/** Numbers that look random and are the same each time for the same seed (mulberry32). */
function* randoms(seed) {
  for (let state = seed >>> 0; ; ) {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    yield ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** The groups of a ballot in the order in which this voter sees them. */
function shuffled(contest, ballot) {
  const groups = [...ballot.groups];
  const numbers = randoms(kept.seed + 7919 * ballot.photo + 104729 * data.tasks.indexOf(contest));
  for (let last = groups.length - 1; last > 0; last--) {
    const other = Math.floor(numbers.next().value * (last + 1));
    [groups[last], groups[other]] = [groups[other], groups[last]];
  }
  return groups;
}

// --- what the votes say

/** Wins of each contestant, votes for none and for all, and how many votes chose somebody. */
function tallyOf(contest) {
  const wins = contest.names.map(() => 0);
  const tally = { wins, none: 0, equal: 0, decided: 0 };
  for (const choice of Object.values(votesOn(contest))) {
    if (choice === NONE || choice === EQUAL) tally[choice] += 1;
    else {
      tally.decided += 1;
      for (const contestant of choice) wins[contestant] += 1;
    }
  }
  return tally;
}

/** Contestants, the one with the most votes first; with as many, the one that is first by the rule. */
function standing(contest) {
  const { wins } = tallyOf(contest);
  return contest.names.map((_, number) => number).sort((one, other) => wins[other] - wins[one] || one - other);
}

/** How probable a lead as large as this one is if two contestants are equally good: the sign test. */
function chance(contest, first, second) {
  let ahead = 0, behind = 0;
  for (const choice of Object.values(votesOn(contest))) {
    if (!Array.isArray(choice)) continue;
    ahead += choice.includes(first) && !choice.includes(second);
    behind += choice.includes(second) && !choice.includes(first);
  }
  const all = ahead + behind;
  let term = 0.5 ** all, tail = 0; // binomial, of `all` fair coins
  for (let heads = 0; heads <= Math.min(ahead, behind); heads++) {
    tail += term;
    term *= (all - heads) / (heads + 1);
  }
  return Math.min(2 * tail, 1);
}

function tallyTable(contest) {
  const { wins, none, equal, decided } = tallyOf(contest);
  const order = standing(contest);
  const rows = order.map((number) => element("tr", {},
    element("th", { scope: "row" }, contest.names[number]),
    element("td", {}, String(wins[number])),
    element("td", {}, decided ? percent(wins[number] / decided) : "–")));
  const p = chance(contest, order[0], order[1]);
  const lead = p < UNLIKELY
    ? `The lead of ${contest.names[order[0]]} is unlikely to be chance (p = ${p.toFixed(3)}, sign test).`
    : "The lead may be chance: more votes would tell.";
  return element("div", {},
    element("h3", {}, contest.title),
    element("table", {},
      element("thead", {}, element("tr", {}, ...["Contestant", "Best", "Of the votes for somebody"].map((title) =>
        element("th", { scope: "col" }, title)))),
      element("tbody", {}, ...rows)),
    element("p", { class: "hint" },
      `${decided} of ${contest.ballots.length} photos decided, none right: ${none}, equally good: ${equal}. ${lead}`));
}

function showTally() {
  at("tally").replaceChildren(...(kept.unveiled ? contests.map(tallyTable) : []));
  at("tally").hidden = !kept.unveiled;
  at("unveil").textContent = kept.unveiled ? "Hide the names again" : "Unveil the votes";
  at("unveil").setAttribute("aria-expanded", String(kept.unveiled));
}

/** Show the vision.yml of the winners; not while that would tell a voter whom they vote for. */
function showEntries() {
  const voted = contests.some((contest) => Object.values(votesOn(contest)).some(Array.isArray));
  const hidden = voted && !kept.unveiled;
  at("yml").hidden = at("copy").hidden = hidden;
  if (hidden) {
    at("winner").textContent = "It is shown when you unveil the votes, as it names the winner.";
    return;
  }
  const first = data.tasks.map((task) => (task.names.length ? standing(task)[0] : 0));
  at("yml").textContent = data.head + data.tasks.map((task, place) => task.entries[first[place]]).join("")
    + data.tasks.map((task, place) => task.thresholds[first[place]]).join("");
  const said = data.tasks.flatMap((task, place) => (task.names.length < 2 ? [] : [
    `${task.names[first[place]]} for ${task.in_sentences}, by ${tallyOf(task).decided ? "your votes" : "the rule"}`]));
  at("winner").textContent = said.length ? `${said.join("; ")}.` : "";
}

// --- the ballot

let contest = contests[0];
let place = 0;

/** Show a photo with what is said of it; names only after the votes were unveiled. */
function show() {
  const ballot = contest.ballots[place];
  const groups = shuffled(contest, ballot);
  const vote = votesOn(contest)[ballot.photo];
  const figure = at(`photo-${ballot.photo}`).querySelector("figure").cloneNode(true);
  at("ballot-photo").replaceChildren(figure);
  at("place").textContent = `Photo ${place + 1} of ${contest.ballots.length}`
    + ` · ${Object.keys(votesOn(contest)).length} voted`;
  at("cards").replaceChildren(...groups.map((group, number) => option(ballot, group, number, vote)));
  for (const [id, choice] of [["none", NONE], ["equal", EQUAL]]) {
    at(id).setAttribute("aria-pressed", String(vote === choice));
    at(id).disabled = kept.unveiled;
  }
  at("back").disabled = place === 0;
  at("on").disabled = place === contest.ballots.length - 1;
}

function option(ballot, group, number, vote) {
  const said = at(`said-${contest.task}-${ballot.photo}-${group[0]}`).cloneNode(true);
  said.id = `option-${number}`;
  const isChosen = Array.isArray(vote) && vote[0] === group[0];
  const button = element("button", {
    type: "button", "aria-pressed": String(isChosen), "aria-describedby": said.id, disabled: kept.unveiled,
    "aria-label": `${LETTERS[number]} is best`, onclick: () => cast(group),
  }, LETTERS[number], " ", element("kbd", {}, String(number + 1)));
  const names = kept.unveiled
    && element("p", { class: "hint names" }, group.map((one) => contest.names[one]).join(", "));
  return element("div", { class: kept.unveiled ? "option shown" : "option" }, button, said, names);
}

/** Take a vote, and go on to the next photo without one. */
function cast(choice) {
  if (kept.unveiled) return;
  kept.votes[contest.task] = { ...votesOn(contest), [contest.ballots[place].photo]: choice };
  keep();
  const open = contest.ballots.map((_, number) => number).filter((number) => !isVoted(number));
  const next = open.find((number) => number > place) ?? open[0];
  if (next === undefined) say("You have voted on all photos. Unveil the votes to see who is ahead.");
  go(next ?? place);
  showTally();
  showEntries();
}

const isVoted = (number) => contest.ballots[number].photo in votesOn(contest);

function go(to) {
  place = Math.min(Math.max(to, 0), contest.ballots.length - 1);
  show();
  at("place").focus({ preventScroll: true }); // the card that had the focus is gone
}

function choose(chosen) {
  contest = chosen;
  const open = contest.ballots.findIndex((_, number) => !isVoted(number));
  place = Math.max(open, 0);
  show();
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input") && event.key.startsWith("Arrow")) return; // which choose the task
  const groups = shuffled(contest, contest.ballots[place]);
  if (event.key === "0") cast(NONE);
  else if (event.key === "=") cast(EQUAL);
  else if (event.key === "ArrowLeft") go(place - 1);
  else if (event.key === "ArrowRight") go(place + 1);
  else if (/^[1-9]$/.test(event.key) && groups[event.key - 1]) cast(groups[event.key - 1]);
  else return;
  event.preventDefault();
}

// --- what else can be done

function unveil() {
  kept.unveiled = !kept.unveiled;
  keep();
  show();
  showTally();
  showEntries();
}

function forget() {
  if (!confirm("Delete all votes on this report?")) return;
  kept = { ...kept, unveiled: false, votes: {} };
  keep();
  choose(contest);
  showTally();
  showEntries();
}

/** Save the votes as a file, with the names of contestants and photos. */
function save() {
  const votes = contests.flatMap((one) => Object.entries(votesOn(one)).map(([photo, choice]) => ({
    task: one.task,
    photo: data.photos[photo],
    best: Array.isArray(choice) ? choice.map((number) => one.names[number]) : choice,
  })));
  const tally = Object.fromEntries(contests.map((one) => {
    const { wins, ...rest } = tallyOf(one);
    return [one.task, { wins: Object.fromEntries(one.names.map((name, number) => [name, wins[number]])), ...rest }];
  }));
  const text = JSON.stringify({ report: data.id, saved_at: new Date().toISOString(), tally, votes }, null, 2);
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  element("a", { href: address, download: `votes-${data.id}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

async function copy() {
  try {
    await navigator.clipboard.writeText(at("yml").textContent);
    say("Copied.");
  } catch {
    getSelection().selectAllChildren(at("yml"));
    say("The text is selected: copy it with the keyboard.");
  }
}

function recount() {
  const photos = at("library").valueAsNumber;
  if (!(photos > 0)) return;
  for (const cell of document.querySelectorAll("[data-per-hour]"))
    cell.textContent = whole.format(photos / Number(cell.dataset.perHour));
}

if (contests.length) {
  at("vote").hidden = at("to-vote").hidden = false;
  at("vote").addEventListener("keydown", press);
  at("contests").hidden = contests.length < 2;
  at("contests").append(...contests.map((one) => element("label", { class: "choice" },
    element("input", { type: "radio", name: "contest", value: one.task, checked: one === contest,
      onchange: () => choose(one) }),
    element("span", {}, one.title))));
  at("none").addEventListener("click", () => cast(NONE));
  at("equal").addEventListener("click", () => cast(EQUAL));
  at("back").addEventListener("click", () => go(place - 1));
  at("on").addEventListener("click", () => go(place + 1));
  at("unveil").addEventListener("click", unveil);
  at("export").addEventListener("click", save);
  at("delete").addEventListener("click", forget);
  choose(contest);
  showTally();
}
at("unscripted").remove();
at("copy").hidden = false;
at("copy").addEventListener("click", copy);
at("library").readOnly = false;
at("library").addEventListener("input", recount);
showEntries();
