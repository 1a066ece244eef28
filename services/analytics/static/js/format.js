// Numbers, amounts and instants as people read them. Amounts are decimal texts and stay so.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (value) => whole.format(value);
export const compact = (value) => (value < 10000 ? whole.format(value) : short.format(value));
export const percent = (part, all) => (all === 0 ? "–" : `${((100 * part) / all).toFixed(part === 0 || part === all ? 0 : 1)}%`);

export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 10000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  return `${value.toFixed(value < 10 && value > 0 ? 1 : 0)} ms`;
}

// "12.500000001" → "12.50": cut, never rounded up; what is smaller than a cent keeps its first two digits.
export function amount(text) {
  const [units, places = ""] = text.split(".");
  const firstDigit = places.search(/[1-9]/);
  const keep = units !== "0" && units !== "-0" ? 2 : Math.max(2, firstDigit + 2);
  return `${units.replace(/\B(?=(\d{3})+(?!\d))/g, ",")}.${places.slice(0, keep).padEnd(2, "0")}`;
}

export function clock(seconds, spanSeconds) {
  const at = new Date(seconds * 1000);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: spanSeconds <= 900 ? "2-digit" : undefined, hour12: false });
  if (spanSeconds <= 86400) return time;
  const day = at.toLocaleDateString([], { month: "short", day: "numeric" });
  return spanSeconds <= 8 * 86400 ? `${day} ${time}` : day;
}

export const instant = (text) => (text === null ? "–" : new Date(text).toLocaleString([], { dateStyle: "short", timeStyle: "medium", hour12: false }));

// What an alert compares, in the unit of its signal: 0.705 share → "70.5%", 12500000000 nano USD → "12.50 USD".
export function quantity(value, unit) {
  if (unit === "share") return percent(value, 1);
  if (unit.startsWith("nano ")) return money((value / 1e9).toFixed(9), unit.slice(5));
  return `${compact(value)} ${unit}`;
}

export const money = (text, currency) => `${amount(text)} ${currency ?? ""}`.trim();

// Nano of a currency, a number or a BigInt, as the whole decimal text: 1500000000 → "1.50", 1 → "0.000000001".
export function exact(nano, currency) {
  if (nano === null || nano === undefined) return "–";
  const value = BigInt(nano);
  const digits = (value < 0n ? -value : value).toString().padStart(10, "0");
  const places = digits.slice(-9).replace(/0+$/, "").padEnd(2, "0");
  return `${value < 0n ? "-" : ""}${digits.slice(0, -9)}.${places} ${currency ?? ""}`.trim();
}

export function tokens(usage) {
  const kinds = [["input_tokens", "in"], ["cached_input_tokens", "cached"], ["cache_write_tokens", "cache-write"], ["output_tokens", "out"]];
  return kinds.filter(([name]) => usage[name]).map(([name, said]) => `${count(usage[name])} ${said}`).join(", ") || "none";
}

// Seconds as people say them: 0.4 s, 12 s, 3 min, 2.5 h.
export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
