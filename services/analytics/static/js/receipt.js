// A request's receipt as a person reads it: who asked, what was tried and why it failed, what it cost and which balance paid.

import { exact, instant, milliseconds, tokens } from "./format.js";
import { address, here, requestsOf } from "./place.js";
import { node, table } from "./tables.js";

const at = (id) => document.getElementById(id);
let raw = null;

// `text` is what the call answered, to the byte: the file that the link saves.
export function showReceipt(receipt, text) {
  const place = here();
  at("receipt-back").href = address({ ...place, receipt: "", of: "" });
  if (raw) URL.revokeObjectURL(raw);
  raw = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const sections = [heading(receipt), who(receipt, place), why(receipt), plan(receipt), attempts(receipt), fallbacks(receipt), charge(receipt), balance(receipt), holds(receipt), refunds(receipt), refusal(receipt)];
  at("receipt-body").replaceChildren(...sections.filter(Boolean));
}

function heading(receipt) {
  const file = node("a", { id: "raw", href: raw, download: `receipt-${receipt.request_id}.json` }, "Raw JSON");
  return node("div", { class: "heading" }, node("h2", {}, "Receipt ", node("code", {}, receipt.request_id), " ", node("span", { class: `badge ${receipt.status}`, id: "receipt-status" }, receipt.status)), file);
}

function section(id, title, ...children) {
  return node("section", { id: `receipt-${id}` }, node("h3", {}, title), ...children);
}

// Pairs of words and texts or nodes; those without a value are left out.
function facts(pairs) {
  const told = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return node("dl", {}, ...told.flatMap(([name, value]) => [node("dt", {}, name), node("dd", {}, value)]));
}

function who(receipt, place) {
  const tags = Object.entries(receipt.tags ?? {}).map(([name, value]) => `${name}=${value}`);
  const timing = [["whole", "latency_ms"], ["first token", "ttft_ms"], ["Tollbook's own", "overhead_ms"]].filter(([, field]) => typeof receipt[field] === "number").map(([name, field]) => `${name} ${milliseconds(receipt[field])}`);
  const run = receipt.run_id && node("a", { href: address(requestsOf({ ...place, key_id: "", project_id: "", tag: "" }, { run_id: receipt.run_id, account_id: receipt.account_id })), title: "Requests of this run" }, receipt.run_id);
  return section(
    "who",
    "Who asked for what",
    facts([
      ["key", `${receipt.key_name ?? ""} (${receipt.key_id})`.trim()],
      ["project", receipt.project_id],
      ["account", receipt.account_id],
      ["environment", receipt.environment],
      ["tags", tags.join(", ")],
      ["run", run],
      ["client's own id", receipt.client_request_id],
      ["asked for", receipt.requested_model && `${receipt.requested_model}${receipt.client_api ? ` over ${receipt.client_api}` : ""}${receipt.stream ? ", streamed" : ""}`],
      ["answered by", receipt.answered_model],
      ["accepted", receipt.accepted_at && instant(receipt.accepted_at)],
      ["settled", receipt.settled_at && instant(receipt.settled_at)],
      ["timing", timing.join(", ")],
      ["routes", receipt.table_version && `version ${receipt.table_version}`],
    ]),
  );
}

function why(receipt) {
  const sentences = receipt.explanation ?? [];
  return sentences.length ? section("why", "Why", node("ul", {}, ...sentences.map((sentence) => node("li", {}, sentence)))) : null;
}

function plan(receipt) {
  const places = receipt.plan ?? [];
  if (!places.length) return null;
  const said = (place) => `${place.channel} (${[place.route_type, place.brand].filter(Boolean).join(", ")}) → ${place.upstream_model}`;
  return section("plan", "Plan", node("ol", {}, ...places.map((place) => node("li", {}, said(place)))));
}

function attempts(receipt) {
  const rows = receipt.attempts ?? [];
  if (!rows.length) return null;
  const holder = node("div");
  table(
    holder,
    [
      { title: "#", number: true, cell: (row) => String(row.attempt) },
      { title: "Channel", cell: (row) => `${row.channel} → ${row.upstream_model}` },
      { title: "Outcome", cell: (row) => node("span", { class: `badge ${row.outcome}` }, row.outcome) },
      { title: "Why", cell: (row) => [row.error_class?.replaceAll("_", " "), row.http_status && `HTTP ${row.http_status}`].filter(Boolean).join(", ") || "–" },
      { title: "Took", number: true, cell: (row) => milliseconds(row.latency_ms) },
      { title: "Tokens", cell: (row) => tokens(row.usage ?? {}) },
      { title: "Price × tokens", number: true, cell: (row) => (row.cost_nano === null || row.cost_nano === undefined ? "–" : exact(row.cost_nano, row.cost_currency)) },
      { title: "Charged", cell: (row) => (row.charged ? "yes" : "no") },
    ],
    rows,
    "",
  );
  return section("attempts", "Attempts", holder);
}

function fallbacks(receipt) {
  const steps = receipt.fallbacks ?? [];
  if (!steps.length) return null;
  const said = (step) => `${step.from_channel} → ${step.to_channel}: ${step.reason.replaceAll("_", " ")}${step.crossed_bucket ? ", into another bucket" : ""}`;
  return section("fallbacks", "Fallbacks", node("ul", {}, ...steps.map((step) => node("li", {}, said(step)))));
}

function charge(receipt) {
  const paid = receipt.charge;
  if (!paid) return null;
  const parts = (paid.parts ?? []).map((part) => node("li", {}, `attempt ${part.attempt}: ${part.arithmetic}`));
  return section(
    "charge",
    "Charge",
    facts([
      ["amount", node("b", { id: "receipt-amount" }, `${paid.amount} ${paid.currency}`)],
      ["computed as", paid.arithmetic && node("span", { id: "receipt-arithmetic" }, paid.arithmetic)],
      ["made up of", parts.length ? node("ul", {}, ...parts) : null],
      ["paid from", paid.bucket],
      ["prices", `version ${paid.price_version}`],
      ["held", exact(paid.hold_nano, paid.currency)],
      ["given back", exact(paid.released_nano, paid.currency)],
      ["overrun", paid.overrun_nano ? exact(paid.overrun_nano, paid.currency) : null],
      ["refunded", paid.refunded_nano ? exact(paid.refunded_nano, paid.currency) : null],
    ]),
  );
}

function balance(receipt) {
  const moved = receipt.balance;
  if (!moved) return null;
  const currency = receipt.charge?.currency ?? "";
  return section("balance", moved.run ? `Balance, in the reserve of run ${moved.run}` : `Balance of ${receipt.charge?.bucket ?? "the bucket"}`, facts([["before", exact(moved.before_nano, currency)], ["after", exact(moved.after_nano, currency)]]));
}

function holds(receipt) {
  const rows = receipt.holds ?? [];
  if (!rows.length) return null;
  const holder = node("div");
  table(
    holder,
    [
      { title: "Hold", cell: (row) => node("code", {}, row.hold_id) },
      { title: "State", cell: (row) => row.state },
      { title: "Bucket", cell: (row) => row.bucket },
      { title: "Held", number: true, cell: (row) => exact(row.amount_nano, row.currency) },
      { title: "Captured", number: true, cell: (row) => exact(row.captured_nano ?? 0, row.currency) },
      { title: "Released", number: true, cell: (row) => exact(row.released_nano ?? 0, row.currency) },
    ],
    rows,
    "",
  );
  return section("holds", "Holds", holder);
}

function refunds(receipt) {
  const rows = receipt.refunds ?? [];
  if (!rows.length) return null;
  return section("refunds", "Refunds", node("ul", {}, ...rows.map((row) => node("li", {}, `${instant(row.at)}: ${exact(row.amount_nano, row.currency)}, ${row.reason ?? ""}`))));
}

function refusal(receipt) {
  const why = receipt.refusal;
  return why ? section("refusal", "Refused", facts([["code", why.code], ["message", why.message]])) : null;
}
