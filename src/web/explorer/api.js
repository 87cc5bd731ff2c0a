// The API of the service, reached by URLs relative to the page: so it works under any ROOT_PATH.

const BASE = new URL("api/v1/", document.baseURI);

/** An answer that is no success, or none at all: `title`, `detail`, `status` (0 without an answer), `requestId`. */
export class Problem extends Error {
  constructor({ title, detail, status, requestId, retryAfter, errors }) {
    super(title);
    Object.assign(this, { title, detail, status, requestId, retryAfter, errors });
  }

  /** Whether the same request may succeed later. */
  get isTemporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** The URL of an endpoint: `path` below /api/v1 without a slash before it, `params` of an object or URLSearchParams. */
export const urlOf = (path, params) => {
  const url = new URL(path, BASE);
  url.search = new URLSearchParams(params).toString();
  return url.href;
};

/**
 * The answer of `GET`. Throws `Problem`; and `AbortError`, if `signal` says so. `parse` makes a value of its text.
 * With other credentials it would not take the answer for which index.html has asked, and ask again.
 */
export const get = (path, params, { signal, parse = JSON.parse } = {}) => request(urlOf(path, params), { signal }, parse);

/** The answer of `POST` with a JSON body. Throws as `get` does. */
export const post = (path, body, { signal } = {}) =>
  request(
    urlOf(path),
    { method: "POST", body: JSON.stringify(body), signal, headers: { "content-type": "application/json" } },
    JSON.parse,
  );

const request = async (url, options, parse) => {
  let response, text;
  try {
    response = await fetch(url, { credentials: "same-origin", ...options });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      title: "The service cannot be reached",
      detail: "Check the connection, then try again.",
      status: 0,
      requestId: response?.headers.get("x-request-id") ?? null,
    });
  }
  if (!response.ok) throw problemOf(response, text);
  try {
    return parse(text);
  } catch {
    throw new Problem({
      title: "The answer is not from this service",
      detail: "Something between this page and the service has answered, such as a sign-in page. Load this page again.",
      status: response.status,
      requestId: response.headers.get("x-request-id"),
    });
  }
};

const textOf = (value) => (typeof value === "string" ? value : null);

const problemOf = (response, text) => {
  let document = {};
  try {
    document = JSON.parse(text) ?? {};
  } catch {
    // A proxy may answer with what is no problem document, or with JSON of its own.
  }
  return new Problem({
    title: textOf(document.title) ?? `The service answered ${response.status}`,
    detail: textOf(document.detail),
    status: response.status,
    requestId: textOf(document.request_id) ?? response.headers.get("x-request-id"),
    retryAfter: Number(response.headers.get("retry-after")) || null,
    errors: Array.isArray(document.errors) ? document.errors.filter((each) => Array.isArray(each?.loc)) : [],
  });
};

/** Whether an exception only says that nobody waits for the answer any more. */
export const isAborted = (error) => error?.name === "AbortError";

/** Any exception as a `Problem`, for who shows it. */
export const asProblem = (error) =>
  error instanceof Problem ? error : new Problem({ title: "The page has failed", detail: String(error), status: -1 });
