import axios from "axios";
import * as api from "./orval_axios";
import { tour, url } from "./tour";

axios.defaults.baseURL = url;
axios.defaults.validateStatus = () => true;

void tour({
  create: (record) => api.auditsCreateAudit(record),
  createBatch: (items, key, mode) =>
    api.auditsCreateAuditBatch({ items }, { mode }, { headers: { "Idempotency-Key": key } }),
  list: (query) => api.auditsListAudits(query),
  read: (id, tag) => api.auditsReadAudit(id, { headers: { "If-None-Match": tag } }),
  patch: (id, changes, tag) => api.auditsPatchAudit(id, changes, { headers: { "If-Match": tag } }),
  exportLines: async (filter) => (await api.auditsExportAudits(filter, { responseType: "text" })).data,
});
