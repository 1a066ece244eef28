// The calls that the page makes, with the token of this tab.

const STORED = "tollbook-admin-token";
const TIMEOUT_MS = 15000;

export class NotSignedIn extends Error {}

export const token = {
  get: () => sessionStorage.getItem(STORED),
  set: (value) => sessionStorage.setItem(STORED, value),
  clear: () => sessionStorage.removeItem(STORED),
};

export const get = async (path, parameters = {}) => parsed(await text(path, parameters));

// What the call answers, to the byte. A parameter that holds commas is given once for each part.
export async function text(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) for (const part of name === "outcome" ? value.split(",") : [value]) query.append(name, part);
  const response = await fetch(`${path}?${query}`, {
    headers: { authorization: `Bearer ${token.get() ?? ""}` },
    signal: AbortSignal.timeout(TIMEOUT_MS),
    cache: "no-store",
  });
  if (response.status === 401) throw new NotSignedIn("This token opens nothing: give the admin token, or an access token that is in force.");
  if (response.status === 403) throw new NotSignedIn("The dashboard shows the whole installation: it needs the role operator or on-call.");
  if (!response.ok) throw new Error((await problem(response)) ?? `${path} answered ${response.status}`);
  return response.text();
}

// Amounts in nano may be larger than a number holds exactly: those become BigInts.
export function parsed(told) {
  return JSON.parse(told, (name, value, context) => (typeof value === "number" && !Number.isSafeInteger(value) && name.endsWith("_nano") && context ? BigInt(context.source) : value));
}

async function problem(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return null;
  }
}
