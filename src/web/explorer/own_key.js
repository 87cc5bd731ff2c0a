// The verifier key that the reader has got by another way than from this server. The browser keeps it.

const NAME = "audit-trail.explorer.verifier-key";

export const readOwnKey = () => {
  try {
    return localStorage.getItem(NAME) ?? "";
  } catch {
    // The browser keeps nothing for this page.
    return "";
  }
};

export const keepOwnKey = (key) => {
  try {
    if (key) localStorage.setItem(NAME, key);
    else localStorage.removeItem(NAME);
  } catch {
    // It holds until the page is closed.
  }
};
