import { Api, type HttpResponse } from "./swagger_typescript_api";
import { tour, url } from "./tour";

const { api } = new Api({ baseUrl: url });

async function answer<T, E>(call: Promise<HttpResponse<T, E>>) {
  const { status, data, error } = await call;
  return { status, data: data ?? error };
}

void tour({
  create: (record) => answer(api.auditsCreateAudit(record)),
  createBatch: (items, key, mode) =>
    answer(api.auditsCreateAuditBatch({ items }, { mode }, { headers: { "Idempotency-Key": key } })),
  list: (query) => answer(api.auditsListAudits(query)),
  read: (id, tag) => answer(api.auditsReadAudit(id, { headers: { "If-None-Match": tag } })),
  patch: (id, changes, tag) => answer(api.auditsPatchAudit(id, changes, { headers: { "If-Match": tag } })),
  exportLines: async (filter) => (await api.auditsExportAudits(filter, { format: "text" })).data,
});
