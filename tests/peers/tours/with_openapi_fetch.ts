import createClient from "openapi-fetch";
import type { paths } from "./openapi_typescript";
import { tour, url } from "./tour";

const client = createClient<paths>({ baseUrl: url });

async function answer<T, E>(call: Promise<{ data?: T; error?: E; response: Response }>) {
  const { data, error, response } = await call;
  return { status: response.status, data: data ?? error };
}

void tour({
  create: (body) => answer(client.POST("/api/v1/audits", { body })),
  createBatch: (items, key, mode) =>
    answer(
      client.POST("/api/v1/audits/batch", {
        params: { query: { mode }, header: { "Idempotency-Key": key } },
        body: { items },
      }),
    ),
  list: (query) => answer(client.GET("/api/v1/audits", { params: { query } })),
  read: (audit_id, tag) =>
    answer(
      client.GET("/api/v1/audits/{audit_id}", { params: { path: { audit_id }, header: { "If-None-Match": tag } } }),
    ),
  patch: (audit_id, body, tag) =>
    answer(
      client.PATCH("/api/v1/audits/{audit_id}", { params: { path: { audit_id }, header: { "If-Match": tag } }, body }),
    ),
  exportLines: async (query) =>
    (await client.GET("/api/v1/audits/export", { params: { query }, parseAs: "text" })).data ?? "",
});

// Types that allow everything would let this pass, and fail here.
// @ts-expect-error
void client.POST("/api/v1/audits", { body: { action: "invoice.update", status: "unheard of" } }).catch(() => {});
