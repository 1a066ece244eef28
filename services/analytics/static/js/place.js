// What the page shows is in its address: `#1h&key_id=…&view=requests`. So a view can be sent to somebody, and "back" works.

export const RANGES = [["15m", 900], ["1h", 3600], ["6h", 21600], ["24h", 86400], ["7d", 604800], ["30d", 2592000]];
const DEFAULT = "1h";
const CUSTOM = "custom";
const LONGEST_S = 400 * 86400;
export const FILTERS = ["key_id", "project_id", "tag"];
// What narrows a list of requests beside the filters of the whole page, with the words for it.
export const NARROWED = {
  account_id: "account",
  run_id: "run",
  model: "model",
  channel: "channel",
  outcome: "outcome",
  error: "reason",
  fallbacks: "fell back",
  burned: "tokens not charged",
  failed_on: "failed on",
  fell_from: "fell back from",
  fell_to: "fell back to",
};
const LISTED = ["view", ...Object.keys(NARROWED), "after", "receipt", "of"];

const read = () => new URLSearchParams(`range=${location.hash.slice(1)}`);

// {range, from?, to?, filters…, view?, after?, receipt?, of?}: everything that the address says, and nothing that it may not.
export function here() {
  const said = read();
  const found = { range: DEFAULT };
  if (RANGES.some(([name]) => name === said.get("range"))) found.range = said.get("range");
  if (said.get("range") === CUSTOM && !problemOf(said.get("from"), said.get("to"))) Object.assign(found, { range: CUSTOM, from: said.get("from"), to: said.get("to") });
  for (const name of [...FILTERS, ...LISTED]) if (said.get(name)) found[name] = said.get(name);
  return found;
}

// The address of a place, for links: what is "" or undefined is left out.
export function address({ range, ...rest }) {
  const said = new URLSearchParams(Object.entries(rest).filter(([, value]) => value)).toString();
  return `#${range}${said ? `&${said}` : ""}`;
}

export const go = (place) => (location.hash = address(place));

// The place without what belongs to a list or a receipt; filters and range stay.
export function board(place) {
  return Object.fromEntries(Object.entries(place).filter(([name]) => !LISTED.includes(name)));
}

// The list of the requests that `narrowed` names, in the same range and under the same filters unless it says otherwise.
export const requestsOf = (place, narrowed) => ({ ...board(place), ...narrowed, view: "requests" });

// The same list from its newest page on, without the open receipt.
export const fresh = ({ after, receipt, of, ...place }) => place;

export const span = (from, to) => ({ range: CUSTOM, from: new Date(from).toISOString(), to: new Date(to).toISOString() });

// Why the two instants are no range, null where they are one.
export function problemOf(from, to) {
  const [begin, end] = [Date.parse(from), Date.parse(to)];
  if (Number.isNaN(begin) || Number.isNaN(end)) return "Give both instants.";
  if (begin >= end) return "The range has to begin before it ends.";
  if (begin > Date.now()) return "The range lies in the future: nothing has happened there yet.";
  if (end - begin > LONGEST_S * 1000) return "The range is longer than 400 days: the dashboard shows 400 at most.";
  return null;
}

// The instants of the place's range, and whether time goes on in it.
export function times(place) {
  if (place.range === CUSTOM) {
    const [from, to] = [Date.parse(place.from), Date.parse(place.to)];
    return { from, to, seconds: (to - from) / 1000, live: to > Date.now() };
  }
  const seconds = RANGES.find(([name]) => name === place.range)[1];
  const to = (Math.floor(Date.now() / 1000) + 1) * 1000;
  return { from: to - seconds * 1000, to, seconds, live: true };
}
