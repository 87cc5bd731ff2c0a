import { runtime } from "@oazapfts/runtime";
import { explode, query } from "@oazapfts/runtime/query";
import * as api from "./oazapfts";
import { type Filter, type Query, tour, url } from "./tour";

api.defaults.baseUrl = url;

const named = ({ actor_id: actorId, ...rest }: Query) => ({ ...rest, ...(actorId ? { actorId } : {}) });

void tour({
  create: (record) => api.auditsCreateAudit(record),
  createBatch: (items, key, mode) => api.auditsCreateAuditBatch({ items }, { idempotencyKey: key, mode }),
  list: (wanted) => api.auditsListAudits(named(wanted)),
  read: (id, tag) => api.auditsReadAudit(id, { ifNoneMatch: tag }),
  patch: (id, changes, tag) => api.auditsPatchAudit(id, changes, { ifMatch: tag }),
  // The generated function parses the lines as one JSON value.
  exportLines: async (filter: Filter) => {
    const answer = await runtime(api.defaults).fetchText(`/api/v1/audits/export${query(explode({ ...filter }))}`);
    return answer.data ?? "";
  },
});
