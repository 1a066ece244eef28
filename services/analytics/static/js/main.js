// The page: which range, when to ask again, and what to say when something does not answer.

import { NotSignedIn, get, token } from "./api.js";
import { showAlerts, showSeries, showTables, showTotals } from "./panels.js";

const RANGES = [["15m", 900], ["1h", 3600], ["6h", 21600], ["24h", 86400], ["7d", 604800], ["30d", 2592000]];
const DEFAULT = "1h";
const at = (id) => document.getElementById(id);
const FILTERS = ["key_id", "project_id", "tag"];
const place = () => new URLSearchParams(`range=${location.hash.slice(1)}`);
const asked = () => (RANGES.some(([name]) => name === place().get("range")) ? place().get("range") : DEFAULT);
const filters = () => Object.fromEntries(FILTERS.map((name) => [name, place().get(name) ?? ""]).filter(([, value]) => value));

// The range and the filters are in the address, so that a view can be sent to somebody who has a token, too.
function go(range, only) {
  const rest = new URLSearchParams(Object.entries(only).filter(([, value]) => value)).toString();
  location.hash = rest ? `${range}&${rest}` : range;
}

let timer = 0;
let loading = null;
let shownAt = 0;

// A longer range changes slower and costs more to ask for.
const pauseMs = (seconds) => (seconds <= 3600 ? 5000 : seconds <= 86400 ? 15000 : 60000);

async function load() {
  const seconds = RANGES.find(([name]) => name === asked())[1];
  const to = Math.floor(Date.now() / 1000) + 1;
  const range = { from: new Date((to - seconds) * 1000).toISOString(), to: new Date(to * 1000).toISOString() };
  const only = filters();
  const [series, tables, alerts, lag] = await Promise.all([
    get("/admin/dashboard/series", { ...range, ...only }),
    get("/admin/dashboard/tables", { ...range, ...only }),
    get("/admin/alerts", range),
    lagOf(),
  ]);
  const shown = only.key_id ? alerts.data.filter((alert) => alert.subject_id === only.key_id) : alerts.data;
  showBoard();
  showSeries(series, shown);
  showTables(tables, (key_id) => go(asked(), { ...filters(), key_id }));
  showAlerts(shown);
  showTotals(series, tables, shown, lag);
  shownAt = Date.now();
  document.body.dataset.loaded = String(shownAt);
  return pauseMs(seconds);
}

// While the loader is not loading it cannot say how far it is: the rest of the page is shown all the same.
async function lagOf() {
  try {
    return await get("/admin/lag");
  } catch (error) {
    if (error instanceof NotSignedIn) throw error;
    return null;
  }
}

async function refresh() {
  clearTimeout(timer);
  if (loading) return;
  let pause = 5000;
  try {
    loading = load();
    pause = await loading;
    say("");
  } catch (error) {
    if (error instanceof NotSignedIn) return signIn(token.get() ? error.message : "");
    say(`The dashboard could not be brought up to date: ${error.message}`);
  } finally {
    loading = null;
  }
  if (at("refresh").checked) timer = setTimeout(() => (document.hidden ? (timer = 0) : refresh()), pause);
}

function say(text) {
  at("problem").hidden = text === "";
  at("problem").textContent = text;
  if (text && at("board").hidden) showBoard();
}

function showBoard() {
  at("signin").hidden = true;
  at("board").hidden = at("controls").hidden = false;
}

function signIn(problem) {
  token.clear();
  at("board").hidden = at("controls").hidden = true;
  at("signin").hidden = false;
  at("token-problem").textContent = problem;
  at("token").focus();
}

function press() {
  for (const button of at("ranges").children) button.setAttribute("aria-pressed", String(button.textContent === asked()));
  const only = filters();
  for (const name of FILTERS) at("filters").elements[name].value = only[name] ?? "";
  at("all").hidden = Object.keys(only).length === 0;
}

function start() {
  for (const [name] of RANGES) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => go(name, filters()));
    at("ranges").append(button);
  }
  press();
  addEventListener("hashchange", async () => {
    press();
    await loading?.catch(() => {});
    refresh();
  });
  document.addEventListener("visibilitychange", () => !document.hidden && !timer && !at("board").hidden && at("refresh").checked && refresh());
  at("refresh").addEventListener("change", (event) => (event.target.checked ? refresh() : clearTimeout(timer)));
  at("filters").addEventListener("submit", (event) => {
    event.preventDefault();
    go(asked(), Object.fromEntries(FILTERS.map((name) => [name, at("filters").elements[name].value.trim()])));
  });
  at("all").addEventListener("click", () => go(asked(), {}));
  at("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    token.set(at("token").value.trim());
    at("token").value = "";
    refresh();
  });
  setInterval(() => (at("freshness").textContent = shownAt ? `updated ${Math.round((Date.now() - shownAt) / 1000)} s ago` : ""), 1000);
  token.get() ? refresh() : signIn("");
}

start();
