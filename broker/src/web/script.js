// What a page has beyond reading it: the numbers under the pointer, arrow keys in the list of lanes,
// fresh numbers by themselves, and changes as they happen. Without it every page is complete.

const main = document.querySelector("main");
const units = ["", "k", "M", "G", "T", "P"];

function made(name, text = "", className = "") {
  const element = document.createElement(name);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

// Three digits and the largest prefix that leaves one before the point.
function amount(value, unit) {
  if (value === null) return "\u2013";
  if (unit === "%") return `${(value / 10).toFixed(value % 10 && value < 1000 ? 1 : 0)} %`;
  let index = 0;
  while (999.5 <= value && index < units.length - 1) [value, index] = [value / 1000, index + 1];
  return `${Number(value.toPrecision(3))} ${units[index]}${unit}`;
}

// `label|unit|value*count value -`, one for each series.
function decoded(text) {
  return text.split(";").map((series) => {
    const [label, unit, runs] = series.split("|");
    const values = runs.split(" ").filter(Boolean).flatMap((run) => {
      const [value, count] = run.split("*");
      return Array(Number(count ?? 1)).fill(value === "-" ? null : Number(value));
    });
    return { label, unit, values };
  });
}

const clock = new Intl.DateTimeFormat("en-GB", {
  timeZone: "UTC", weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
});

let card = null;
let shown = { holder: null, index: -1 };

function hide() {
  card?.remove();
  document.querySelectorAll(".cursor").forEach((line) => line.remove());
  card = null;
  shown = { holder: null, index: -1 };
}

// The card of one cell, beside it, and a line through it.
function show(holder, index) {
  const svg = holder.querySelector("svg.strip, svg.chart");
  const series = (holder.decoded ??= decoded(holder.dataset.series));
  const count = series[0].values.length;
  if (!svg || !count) return;
  index = Math.max(0, Math.min(count - 1, index));
  if (shown.holder === holder && shown.index === index && card) return;
  hide();
  shown = { holder, index };
  const times = holder.closest("[data-start]").dataset;
  const [start, step] = [Number(times.start), Number(times.step)];
  card = made("div", "", "card");
  card.setAttribute("role", "status");
  card.append(made("strong", `${clock.format(start + step * index)} UTC`));
  for (const { label, unit, values } of series) {
    const line = made("span");
    line.append(made("span", label), made("span", amount(values[index] ?? null, unit)));
    card.append(line);
  }
  document.body.append(card);
  const cursor = document.createElementNS(svg.namespaceURI, "line");
  const x = `${((index + 0.5) / count) * 100}%`;
  for (const [name, value] of [["x1", x], ["x2", x], ["y1", "0"], ["y2", "100%"]]) cursor.setAttribute(name, value);
  cursor.classList.add("cursor");
  svg.append(cursor);
  const box = svg.getBoundingClientRect();
  const middle = box.left + ((index + 0.5) / count) * box.width;
  const right = document.documentElement.clientWidth - card.offsetWidth - 8;
  card.style.left = `${Math.max(8, Math.min(right, middle + 14)) + scrollX}px`;
  const below = box.bottom + 8 + card.offsetHeight < innerHeight;
  const top = svg.classList.contains("chart") ? box.top + 8 : below ? box.bottom + 8 : box.top - card.offsetHeight - 8;
  card.style.top = `${top + scrollY}px`;
}

document.addEventListener("pointermove", (event) => {
  const holder = event.target.closest?.("[data-series]");
  const svg = holder?.querySelector("svg.strip, svg.chart");
  const box = svg?.getBoundingClientRect();
  if (!box || event.clientY < box.top || box.bottom < event.clientY) return hide();
  const count = (holder.decoded ??= decoded(holder.dataset.series))[0].values.length;
  show(holder, Math.floor(((event.clientX - box.left) / box.width) * count));
});

// In the list of lanes: up and down from lane to lane, left and right from cell to cell.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return hide();
  const row = event.target.closest?.(".lane");
  if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
  const strip = row.querySelector("[data-series]");
  const times = row.closest("[data-start]").dataset;
  const now = Math.floor((Date.now() - Number(times.start)) / Number(times.step));
  const at = shown.holder === strip ? shown.index : now;
  const steps = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: Infinity };
  if (event.key in steps && strip) show(strip, steps[event.key]);
  else if (event.key === "ArrowDown") row.nextElementSibling?.querySelector("a")?.focus();
  else if (event.key === "ArrowUp") row.previousElementSibling?.querySelector("a")?.focus();
  else return;
  event.preventDefault();
});
document.addEventListener("focusout", (event) => event.target.closest?.(".lane") && hide());

// Fresh numbers by themselves, unless somebody reads them out, types, or has stopped it.
let paused = false;
const asOf = () => document.querySelector(".foot dl > div:last-child dd");

function pauseButton() {
  const pause = made("button", "Pause", "pause");
  pause.type = "button";
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
  });
  asOf().append(pause);
  return pause;
}

// Puts the parts of a fresh page in place: of one that is followed all but the list of changes.
function renew(fresh) {
  const live = document.querySelector("[data-stream]");
  const parts = live ? [".answer", "[aria-labelledby=sessions]", ".foot"] : ["main"];
  for (const part of parts) {
    const [old, young] = [document.querySelector(part), fresh.querySelector(part)];
    if (old && young) old.replaceChildren(...young.childNodes);
  }
}

function refresh(seconds) {
  const pause = pauseButton();
  setInterval(async () => {
    const busy = main.contains(document.activeElement) && document.activeElement !== main;
    if (paused || busy || card || document.hidden || getSelection()?.toString()) return;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok) return;
      renew(new DOMParser().parseFromString(await answer.text(), "text/html"));
      asOf().append(pause);
    } catch {
      // The broker is away: the page says of when it is, and asks again.
    }
  }, seconds * 1000);
}
if (main.dataset.refresh) refresh(Number(main.dataset.refresh));

// Changes as they happen, the last on top.
function follow(list) {
  const state = document.querySelector("#live-state");
  const source = new EventSource(list.dataset.stream);
  source.addEventListener("open", () => (state.textContent = "Live: new ones appear on top."));
  source.addEventListener("error", () => (state.textContent = "Not connected; it is tried again."));
  source.addEventListener("change", (event) => {
    const piece = new DOMParser().parseFromString(event.data, "text/html").querySelector("li");
    if (!piece || paused) return;
    piece.classList.add("fresh");
    document.querySelector("#no-changes")?.remove();
    list.prepend(piece);
    while (Number(list.dataset.most) < list.children.length) list.lastElementChild.remove();
  });
}
const list = document.querySelector("[data-stream]");
if (list) follow(list);
