import * as api from "./orval_fetch";
import { tour } from "./tour";

void tour({
  create: (record) => api.auditsCreateAudit(record),
  createBatch: (items, key, mode) =>
    api.auditsCreateAuditBatch(
      { items },
      { mode },
      // Of an operation with two media types it sends none.
      { headers: { "Content-Type": "application/json", "Idempotency-Key": key } },
    ),
  list: (query) => api.auditsListAudits(query),
  read: (id, tag) => api.auditsReadAudit(id, { headers: { "If-None-Match": tag } }),
  patch: (id, changes, tag) => api.auditsPatchAudit(id, changes, { headers: { "If-Match": tag } }),
  exportLines: async (filter) => {
    const answer = await api.auditsExportAudits(filter);
    return "stream" in answer ? await answer.stream.text() : "";
  },
});
