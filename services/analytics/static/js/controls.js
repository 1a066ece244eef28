// The head of the page: range, a range of one's own, filters, and whether the page follows what happens.

import { FILTERS, RANGES, address, board, fresh, go, here, problemOf, span, times } from "./place.js";
import { node } from "./tables.js";

const at = (id) => document.getElementById(id);
const pad = (number) => String(number).padStart(2, "0");

export function startControls() {
  for (const [name] of RANGES) {
    const button = node("button", { type: "button" }, name);
    button.addEventListener("click", () => go({ ...withoutSpan(fresh(here())), range: name }));
    at("ranges").append(button);
  }
  const custom = node("button", { type: "button", id: "custom", "aria-controls": "span" }, "custom");
  custom.addEventListener("click", () => openSpan(at("span").hidden));
  at("ranges").append(custom);
  at("span").addEventListener("submit", chooseSpan);
  at("filters").addEventListener("submit", (event) => {
    event.preventDefault();
    go({ ...fresh(here()), ...Object.fromEntries(FILTERS.map((name) => [name, at("filters").elements[name].value.trim()])) });
  });
  at("all").addEventListener("click", () => go(Object.fromEntries(Object.entries(fresh(here())).filter(([name]) => !FILTERS.includes(name)))));
}

const withoutSpan = ({ from, to, ...place }) => place;

export function pressControls() {
  const place = here();
  for (const button of at("ranges").children) button.setAttribute("aria-pressed", String(button.textContent === place.range));
  for (const name of FILTERS) at("filters").elements[name].value = place[name] ?? "";
  at("all").hidden = !FILTERS.some((name) => place[name]);
  openSpan(place.range === "custom");
  at("refresh").disabled = !times(place).live;
  at("home").href = address(board(place));
}

// The two instants, in the zone of whoever looks.
function openSpan(open) {
  at("span").hidden = !open;
  at("custom").setAttribute("aria-expanded", String(open));
  at("span-problem").textContent = "";
  if (!open) return;
  const { from, to } = times(here());
  at("span-from").value = local(from);
  at("span-to").value = local(to);
  at("span-zone").textContent = zone(from);
}

function chooseSpan(event) {
  event.preventDefault();
  const [from, to] = [at("span-from").value, at("span-to").value];
  const problem = problemOf(from, to);
  at("span-problem").textContent = problem ?? "";
  if (!problem) go({ ...fresh(here()), ...span(from, to) });
}

function local(instant) {
  const time = new Date(instant);
  return `${time.getFullYear()}-${pad(time.getMonth() + 1)}-${pad(time.getDate())}T${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}`;
}

function zone(instant) {
  const minutes = -new Date(instant).getTimezoneOffset();
  const offset = `UTC${minutes < 0 ? "−" : "+"}${pad(Math.floor(Math.abs(minutes) / 60))}:${pad(Math.abs(minutes) % 60)}`;
  return `${Intl.DateTimeFormat().resolvedOptions().timeZone}, ${offset}`;
}
