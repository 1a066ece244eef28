// The page: which range, when to ask again, and what to say when something does not answer.

import { NotSignedIn, get, token } from "./api.js";
import { showAlerts, showSeries, showTables, showTotals } from "./panels.js";

const RANGES = [["15m", 900], ["1h", 3600], ["6h", 21600], ["24h", 86400], ["7d", 604800], ["30d", 2592000]];
const DEFAULT = "1h";
const at = (id) => document.getElementById(id);
const asked = () => (RANGES.some(([name]) => name === location.hash.slice(1)) ? location.hash.slice(1) : DEFAULT);

let timer = 0;
let loading = null;
let shownAt = 0;

// A longer range changes slower and costs more to ask for.
const pauseMs = (seconds) => (seconds <= 3600 ? 5000 : seconds <= 86400 ? 15000 : 60000);

async function load() {
  const seconds = RANGES.find(([name]) => name === asked())[1];
  const to = Math.floor(Date.now() / 1000) + 1;
  const range = { from: new Date((to - seconds) * 1000).toISOString(), to: new Date(to * 1000).toISOString() };
  const [series, tables, alerts] = await Promise.all([get("/admin/dashboard/series", range), get("/admin/dashboard/tables", range), get("/admin/alerts", range)]);
  showBoard();
  showSeries(series);
  showTables(tables);
  showAlerts(alerts.data);
  showTotals(series, tables, alerts.data);
  shownAt = Date.now();
  document.body.dataset.loaded = String(shownAt);
  return pauseMs(seconds);
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
}

function start() {
  for (const [name] of RANGES) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => (location.hash = name));
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
