// The token: kept for this tab only, and given up when it is refused.

const NAME = "vsi.token";

export function keptToken() {
  return attempt(() => sessionStorage.getItem(NAME)) ?? "";
}

export function keepToken(token) {
  attempt(() => (token ? sessionStorage.setItem(NAME, token) : sessionStorage.removeItem(NAME)));
}

// What a person has chosen stays over days: never anything secret.
export function choice(name, otherwise) {
  return attempt(() => localStorage.getItem(`vsi.${name}`)) ?? otherwise;
}

export function choose(name, value) {
  attempt(() => localStorage.setItem(`vsi.${name}`, value));
}

function attempt(action) {
  try {
    return action();
  } catch {
    return null; // storage may be forbidden; then nothing is kept
  }
}
