// From the data of the calls to what is on the page.

import { bars, forget, lines, outcomeColours, rows } from "./charts.js";
import { amount, compact, count, duration, instant, milliseconds, money, percent, quantity } from "./format.js";
import { address, go, here, requestsOf, span } from "./place.js";
import { node, table, tiles } from "./tables.js";

const at = (id) => document.getElementById(id);
const sum = (values) => Object.values(values).reduce((total, value) => total + value, 0);

const OTHERS = "others";
const LATE_S = 60;

// A link to the requests behind a figure, or the plain figure where there are none.
function behind(text, narrowed, there = true) {
  return there ? node("a", { href: address(requestsOf(here(), narrowed)), title: "Show these requests" }, text) : text;
}

export function showSeries(data, alerts) {
  const marks = windows(data, alerts);
  // The requests of one step of a chart.
  const open = (step, narrowed) => go(requestsOf({ ...here(), ...span(data.times[step] * 1000, (data.times[step] + data.step_seconds) * 1000) }, narrowed));
  at("requests-all").href = address(requestsOf(here(), {}));
  bars(at("requests"), data.times, data.requests, { colours: outcomeColours, marks, choose: (outcome, step) => open(step, { outcome }) });
  bars(at("tokens"), data.times, data.tokens.filter((series) => series.name === "input" || series.name === "output" || series.values.some(Boolean)).map((series) => ({ ...series, name: series.name.replace("_", " ") })), { marks, choose: (name, step) => open(step, name === "burned" ? { burned: "true" } : {}) });
  bars(at("fallbacks"), data.times, data.fallbacks, { choose: (name, step) => open(step, stepsOf(name)) });
  lines(at("latency"), data.times, data.latency_ms, { format: milliseconds, marks });
  lines(at("ttft"), data.times, data.ttft_ms, { format: milliseconds });
  showSpend(data);
}

function stepsOf(name) {
  if (name === OTHERS) return { fallbacks: "true" };
  const [fell_from, fell_to] = name.split(" → ");
  return { fell_from, fell_to };
}

// When each alert was open, as steps of the charts: [first, last, what].
function windows(data, alerts) {
  const step = (instant) => Math.floor((Date.parse(instant) / 1000 - data.from) / data.step_seconds);
  const last = data.times.length - 1;
  return alerts
    .map((alert) => [Math.max(step(alert.fired_at), 0), Math.min(alert.resolved_at ? step(alert.resolved_at) : last, last), alert])
    .filter(([begin, end]) => begin <= end && begin <= last)
    .map(([begin, end, alert]) => [begin, end, `${alert.signal.replaceAll("_", " ")}: ${alert.subject_kind} ${alert.subject_id}`]);
}

// One chart per currency: amounts of different currencies share no axis and no sum.
function showSpend(data) {
  const holder = at("spend");
  at("spend-note").textContent = data.spend.map((chart) => chart.currency).join(" and ") + (data.spend.length > 1 ? ", each on its own axis" : "");
  const wanted = data.spend.map((chart) => `spend-${chart.currency}`);
  for (const element of [...holder.children]) {
    if (wanted.includes(element.id)) continue;
    forget(element);
    element.remove();
  }
  for (const chart of data.spend) {
    const id = `spend-${chart.currency}`;
    if (!at(id)) holder.append(node("div", { class: "chart", id }));
    const series = chart.series.map(({ name, values }) => ({ name, values: values.map(Number) }));
    bars(at(id), data.times, series, { format: (value) => `${amount(value.toFixed(6))} ${chart.currency}` });
  }
  table(
    at("routes"),
    [
      { title: "Route type", cell: (row) => row.route_type },
      { title: "Bucket", cell: (row) => row.bucket },
      { title: "Charges", number: true, cell: (row) => count(row.charges) },
      { title: "Spend", number: true, cell: (row) => node("span", { title: `${row.amount} ${row.currency}` }, money(row.amount, row.currency)) },
    ],
    data.spend_by_route,
    "Nothing was charged in this time.",
  );
}

export function showTables(data, choose) {
  const failing = data.errors_by_channel.filter((channel) => channel.failed > 0);
  rows(at("errors"), failing.map((channel) => ({ label: channel.channel, parts: channel.by_class })), { choose: (failed_on, error) => go(requestsOf(here(), { failed_on, error })) });
  at("errors").hidden = failing.length === 0;
  table(
    at("channels"),
    [
      { title: "Channel", cell: (row) => row.channel },
      { title: "Attempts", number: true, cell: (row) => count(row.attempts) },
      { title: "Failed", number: true, cell: (row) => behind(count(row.failed), { failed_on: row.channel }, row.failed > 0) },
      { title: "Error rate", number: true, cell: (row) => percent(row.failed, row.attempts) },
    ],
    data.errors_by_channel,
    "No upstream call in this time.",
  );
  table(
    at("models"),
    [
      { title: "Model", cell: (row) => behind(row.model, { model: row.model }, row.model !== "") },
      { title: "Answered by", cell: (row) => row.upstream_model || "–" },
      { title: "Bucket", cell: (row) => row.bucket },
      { title: "Charges", number: true, cell: (row) => count(row.charges) },
      { title: "Spend", number: true, cell: (row) => node("span", { title: `${row.amount} ${row.currency}` }, money(row.amount, row.currency)) },
    ],
    data.spend_by_model,
    "Nothing was charged in this time.",
  );
  table(
    at("keys"),
    [
      { title: "Key", cell: (row) => keyOf(row, choose) },
      { title: "Project", cell: (row) => row.project_id },
      { title: "Requests", number: true, cell: (row) => behind(count(row.requests), { key_id: row.key_id }) },
      { title: "Failed", number: true, cell: (row) => behind(count(row.failed), { key_id: row.key_id, outcome: "failed,cancelled" }, row.failed > 0) },
      { title: "Tokens", number: true, cell: (row) => count(row.tokens) },
      { title: "Spend", number: true, cell: (row) => row.spend.map((part) => money(part.amount, part.currency)).join(" and ") || "–" },
    ],
    data.top_keys,
    "No key was used in this time.",
  );
}

function keyOf(row, choose) {
  const button = node("button", { type: "button", class: "link", title: "Show only this key" }, node("code", {}, row.key_id));
  button.addEventListener("click", () => choose(row.key_id));
  return node("span", {}, row.key_name ? `${row.key_name} ` : "", button);
}

export function showAlerts(alerts) {
  table(
    at("alerts"),
    [
      { title: "State", cell: (row) => node("span", { class: `badge ${row.state}` }, row.state) },
      { title: "What happened", words: true, cell: (row) => row.message },
      { title: "Requests", cell: (row) => requestsUnder(row) },
      { title: "Since", cell: (row) => instant(row.fired_at) },
      { title: "Until", cell: (row) => instant(row.resolved_at) },
      { title: "Most seen", number: true, cell: (row) => quantity(row.observed, row.unit) },
      { title: "Threshold", number: true, cell: (row) => quantity(row.threshold, row.unit) },
      { title: "Signal", cell: (row) => row.signal.replaceAll("_", " ") },
      { title: "Subject", cell: (row) => node("code", {}, `${row.subject_kind} ${row.subject_id}`) },
    ],
    alerts,
    "No alert was open in this time.",
  );
}

// What an alert was about, while it was: from the window that it first saw to its end.
function requestsUnder(alert) {
  const about = ABOUT[alert.subject_kind]?.(alert);
  if (!about) return "–";
  const length = Date.parse(alert.window_end) - Date.parse(alert.window_start);
  const from = Math.min(Date.parse(alert.window_start), Date.parse(alert.fired_at) - length);
  const to = alert.resolved_at ? Date.parse(alert.resolved_at) : Math.max(Date.now(), Date.parse(alert.window_end));
  return node("a", { href: address(requestsOf({ ...here(), key_id: "", project_id: "", tag: "", ...span(from, to) }, about)) }, "show");
}

const ABOUT = {
  key: (alert) => ({ key_id: alert.subject_id }),
  project: (alert) => ({ project_id: alert.subject_id }),
  account: (alert) => ({ account_id: alert.subject_id }),
  tag: (alert) => ({ tag: alert.subject_id }),
  model: (alert) => ({ model: alert.subject_id, fallbacks: alert.signal === "fallback_frequency" ? "true" : "" }),
  channel: (alert) => (alert.signal === "failed_with_tokens" ? { channel: alert.subject_id, burned: "true" } : { failed_on: alert.subject_id }),
  route: (alert) => ({ account_id: alert.account_id }),
};

// Settlement may be away, or Kafka: the tile says so.
function ledgerTile(ledger) {
  if (ledger === null || ledger.away) return { label: "ledger lag: settlement does not say", value: "away", bad: true };
  if (ledger.records === null) return { label: "ledger lag: Kafka does not say", value: "unknown", bad: true };
  return { label: `ledger lag, ${compact(ledger.records)} waiting`, value: duration(ledger.oldest_s ?? 0), bad: (ledger.oldest_s ?? 0) > LATE_S };
}

export function showTotals(series, tables, alerts, lag, ledger) {
  const requests = series.totals.requests;
  const held = requests.succeeded + requests.failed + requests.cancelled;
  const firing = alerts.filter((alert) => alert.state === "firing").length;
  const spend = series.spend.map(({ currency }) => {
    const nano = series.spend_by_route.filter((route) => route.currency === currency).reduce((total, route) => total + BigInt(route.amount_nano), 0n);
    return { id: `total-${currency}`, label: `spend, ${currency}`, value: amount(decimal(nano)) };
  });
  tiles(at("tiles"), [
    { id: "total-requests", label: "requests", value: compact(sum(requests)) },
    { id: "total-success", label: `succeeded of ${compact(held)} held`, value: percent(requests.succeeded, held) },
    { id: "total-tokens", label: "tokens", value: compact(sum(series.totals.tokens)) },
    ...spend,
    { id: "total-fallbacks", label: "fallbacks", value: compact(series.totals.fallbacks) },
    { id: "total-latency-p50", label: "latency p50", value: milliseconds(tables.latency.latency_p50) },
    { id: "total-latency-p99", label: "latency p99", value: milliseconds(tables.latency.latency_p99) },
    { id: "total-lag", label: "event to row, p99", value: milliseconds(lag?.event_to_row_ms.p99 ?? null), bad: lag === null },
    { id: "total-ledger", ...ledgerTile(ledger) },
    { id: "total-firing", label: "alerts firing", value: count(firing), bad: firing > 0 },
  ]);
}

function decimal(nano) {
  const text = nano.toString().padStart(10, "0");
  return `${text.slice(0, -9)}.${text.slice(-9)}`;
}
