// The calls that the page makes, with the token of this tab.

const STORED = "tollbook-admin-token";
const TIMEOUT_MS = 15000;

export class NotSignedIn extends Error {}

export const token = {
  get: () => sessionStorage.getItem(STORED),
  set: (value) => sessionStorage.setItem(STORED, value),
  clear: () => sessionStorage.removeItem(STORED),
};

export async function get(path, parameters = {}) {
  const response = await fetch(`${path}?${new URLSearchParams(parameters)}`, {
    headers: { authorization: `Bearer ${token.get() ?? ""}` },
    signal: AbortSignal.timeout(TIMEOUT_MS),
    cache: "no-store",
  });
  if (response.status === 401) throw new NotSignedIn("This token opens nothing: give the admin token, or an access token that is in force.");
  if (response.status === 403) throw new NotSignedIn("The dashboard shows the whole installation: it needs the role operator or on-call.");
  if (!response.ok) throw new Error((await problem(response)) ?? `${path} answered ${response.status}`);
  return response.json();
}

async function problem(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return null;
  }
}
