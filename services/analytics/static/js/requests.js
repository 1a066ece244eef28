// The list of single requests, newest first, a page at a time.

import { count, instant, milliseconds, money } from "./format.js";
import { NARROWED, address, board, here } from "./place.js";
import { node, table } from "./tables.js";

const at = (id) => document.getElementById(id);
const PAGE = 50;

// What is asked of the call: the filters of the page, those of the list, and where the page begins.
export function askedOf(place) {
  const asked = Object.fromEntries(["key_id", "project_id", "tag", "after", ...Object.keys(NARROWED)].filter((name) => place[name]).map((name) => [name, place[name]]));
  return { ...asked, limit: PAGE };
}

export function showRequests(page) {
  const place = here();
  at("list-back").href = address(board(place));
  showNarrowed(place);
  table(at("requests-list"), columns(place), page.data, place.after || page.next_after ? "None on this page: look at older ones." : "No request like that ended in this time.");
  at("newest").hidden = !place.after;
  at("newest").href = address({ ...place, after: "" });
  at("older").hidden = !page.next_after;
  at("older").href = address({ ...place, after: page.next_after ?? "" });
}

// Which requests these are; each word can be taken away.
function showNarrowed(place) {
  const named = Object.keys(NARROWED).filter((name) => place[name]);
  at("narrowed").replaceChildren(
    ...named.map((name) => {
      const said = place[name] === "true" ? NARROWED[name] : `${NARROWED[name]}: ${place[name]}`;
      return node("a", { class: "chip", href: address({ ...place, [name]: "", after: "" }), title: "Show without this" }, said, " ×");
    }),
  );
}

function columns(place) {
  return [
    { title: "Ended", cell: (row) => instant(row.at) },
    { title: "Request", cell: (row) => receiptOf(place, row) },
    { title: "Key", cell: (row) => node("span", { title: row.key_id }, row.key_name || row.key_id) },
    { title: "Model", cell: (row) => modelOf(row) },
    { title: "Channel", cell: (row) => row.channel ?? "–" },
    { title: "Outcome", cell: (row) => node("span", { class: `badge ${row.outcome}` }, row.error ? `${row.outcome}: ${row.error}` : row.outcome) },
    { title: "Cost", number: true, cell: (row) => (row.cost === null ? "–" : node("span", { title: `${row.cost} ${row.currency ?? ""}` }, money(row.cost, row.currency))) },
    { title: "Latency", number: true, cell: (row) => milliseconds(row.latency_ms) },
    { title: "Attempts", number: true, cell: (row) => count(row.attempts) },
    { title: "Fallbacks", number: true, cell: (row) => count(row.fallbacks) },
    { title: "Tokens in", number: true, cell: (row) => count(row.input_tokens) },
    { title: "Tokens out", number: true, cell: (row) => count(row.output_tokens) },
    { title: "Not charged", number: true, cell: (row) => count(row.burned_tokens) },
    { title: "Project", cell: (row) => row.project_id },
  ];
}

function receiptOf(place, row) {
  if (!row.request_id) return "–";
  return node("a", { href: address({ ...place, receipt: row.request_id, of: row.account_id }), title: "Open the receipt" }, node("code", {}, row.request_id));
}

function modelOf(row) {
  if (!row.answered_model || row.answered_model === row.model) return row.model || "–";
  return `${row.model} → ${row.answered_model}`;
}
