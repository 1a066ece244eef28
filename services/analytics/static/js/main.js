// The page: what its address asks for, when to ask again, and what to say when something does not answer.

import { NotSignedIn, get, parsed, text, token } from "./api.js";
import { pressControls, startControls } from "./controls.js";
import { showAlerts, showSeries, showTables, showTotals } from "./panels.js";
import { go, here, times } from "./place.js";
import { showReceipt } from "./receipt.js";
import { askedOf, showRequests } from "./requests.js";

const at = (id) => document.getElementById(id);
const VIEWS = ["board", "list", "receipt"];
const FILTERED = ["key_id", "project_id", "tag"];

let timer = 0;
let loading = null;
let shownAt = 0;

// A longer range changes slower and costs more to ask for.
const pauseMs = (seconds) => (seconds <= 3600 ? 5000 : seconds <= 86400 ? 15000 : 60000);

// Loads what the address asks for. Returns in how many ms to ask again, 0 where nothing changes any more.
async function load() {
  const place = here();
  if (place.receipt) return await loadReceipt(place);
  const span = times(place);
  const range = { from: new Date(span.from).toISOString(), to: new Date(span.to).toISOString() };
  const only = Object.fromEntries(FILTERED.filter((name) => place[name]).map((name) => [name, place[name]]));
  await (place.view === "requests" ? loadRequests(place, range) : loadBoard(place, range, only));
  return span.live && !place.after ? pauseMs(span.seconds) : 0;
}

async function loadBoard(place, range, only) {
  const [series, tables, alerts, lag, ledger] = await Promise.all([
    get("/admin/dashboard/series", { ...range, ...only }),
    get("/admin/dashboard/tables", { ...range, ...only }),
    get("/admin/alerts", range),
    ifItAnswers("/admin/lag"),
    ifItAnswers("/admin/dashboard/ledger"),
  ]);
  const shown = only.key_id ? alerts.data.filter((alert) => alert.subject_id === only.key_id) : alerts.data;
  if (isElsewhere(place)) return;
  show("board");
  showSeries(series, shown);
  showTables(tables, (key_id) => go({ ...here(), key_id }));
  showAlerts(shown);
  showTotals(series, tables, shown, lag, ledger);
  loaded();
}

async function loadRequests(place, range) {
  const page = await get("/admin/requests", { ...range, ...askedOf(place) });
  if (isElsewhere(place)) return;
  show("list");
  showRequests(page);
  loaded();
}

// A receipt changes until its request is settled, and when money is given back: it is asked for again when it is opened again.
async function loadReceipt(place) {
  const told = await text(`/admin/accounts/${encodeURIComponent(place.of ?? "")}/receipts/${encodeURIComponent(place.receipt)}`);
  if (isElsewhere(place)) return 0;
  show("receipt");
  showReceipt(parsed(told), told);
  loaded();
  return 0;
}

const isElsewhere = (place) => JSON.stringify(place) !== JSON.stringify(here());

function loaded() {
  shownAt = Date.now();
  document.body.dataset.loaded = String(shownAt);
}

// While the loader or settlement is away, one cannot say how far it is: the rest of the page is shown all the same.
async function ifItAnswers(path) {
  try {
    return await get(path);
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
    blank(viewOf(here()));
    say(`This could not be brought up to date: ${error.message}`);
  } finally {
    loading = null;
  }
  if (at("refresh").checked && pause) timer = setTimeout(() => (document.hidden ? (timer = 0) : refresh()), pause);
}

function say(problem) {
  at("problem").hidden = problem === "";
  at("problem").textContent = problem;
}

const viewOf = (place) => (place.receipt ? "receipt" : place.view === "requests" ? "list" : "board");

// What was asked for is not there: nothing of before may stand in its place.
function blank(view) {
  if (view === "receipt") at("receipt-body").replaceChildren();
  if (view === "list" && at("list").hidden) at("requests-list").replaceChildren();
  show(view);
}

function show(view) {
  at("signin").hidden = true;
  at("controls").hidden = false;
  for (const name of VIEWS) {
    if (name === view && at(name).hidden) scrollTo(0, 0);
    at(name).hidden = name !== view;
  }
}

function signIn(problem) {
  token.clear();
  for (const name of [...VIEWS, "controls", "problem"]) at(name).hidden = true;
  at("signin").hidden = false;
  at("token-problem").textContent = problem;
  at("token").focus();
}

function freshness() {
  const place = here();
  if (!shownAt || place.receipt) return "";
  if (!times(place).live) return "not live: it is over";
  if (place.after) return "not live: an older page";
  return `updated ${Math.round((Date.now() - shownAt) / 1000)} s ago`;
}

function start() {
  startControls();
  pressControls();
  addEventListener("hashchange", async () => {
    pressControls();
    await loading?.catch(() => {});
    refresh();
  });
  document.addEventListener("visibilitychange", () => !document.hidden && !timer && at("signin").hidden && at("refresh").checked && times(here()).live && refresh());
  at("refresh").addEventListener("change", (event) => (event.target.checked ? refresh() : clearTimeout(timer)));
  at("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    token.set(at("token").value.trim());
    at("token").value = "";
    refresh();
  });
  setInterval(() => (at("freshness").textContent = freshness()), 1000);
  token.get() ? refresh() : signIn("");
}

start();
