import { client } from "./openapi_ts/client.gen";
import * as api from "./openapi_ts";
import { type Answer, type Problem, tour, url } from "./tour";

client.setConfig({ baseUrl: url });

async function answer<T>(call: Promise<{ data?: T; error?: unknown; response?: Response }>): Promise<Answer<T>> {
  const { data, error, response } = await call;
  return { status: response?.status ?? 0, data: data ?? (error as Problem) };
}

void tour({
  create: (body) => answer(api.auditsCreateAudit({ body })),
  createBatch: (items, key, mode) =>
    answer(api.auditsCreateAuditBatch({ body: { items }, query: { mode }, headers: { "Idempotency-Key": key } })),
  list: (query) => answer(api.auditsListAudits({ query })),
  read: (audit_id, tag) => answer(api.auditsReadAudit({ path: { audit_id }, headers: { "If-None-Match": tag } })),
  patch: (audit_id, body, tag) =>
    answer(api.auditsPatchAudit({ path: { audit_id }, body, headers: { "If-Match": tag } })),
  exportLines: async (query) => (await api.auditsExportAudits({ query, parseAs: "text" })).data ?? "",
});
