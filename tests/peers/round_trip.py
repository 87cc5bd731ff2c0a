"""`python round_trip.py URL`: once around, with a client that was generated from the contract and nothing of ours."""

import json
import sys

from audit_trail_client import Client
from audit_trail_client.api.audits import (
    audits_create_audit,
    audits_delete_audit,
    audits_list_audits,
    audits_patch_audit,
    audits_read_audit,
)
from audit_trail_client.models import Audit, AuditCreate, AuditDeleted, AuditPage, AuditPatch, AuditStatus, Problem


def main(url: str) -> None:
    with Client(base_url=url) as client:
        record = AuditCreate(action="invoice.update", entity_type="invoice", entity_id="INV-1", actor_id="u-1")
        created = audits_create_audit.sync(client=client, body=record, idempotency_key="1")
        assert isinstance(created, Audit)
        page = audits_list_audits.sync(client=client, action=["invoice.*"], status=[AuditStatus.SUCCESS])
        assert isinstance(page, AuditPage)
        failed = AuditPatch(status=AuditStatus.FAILURE)
        patched = audits_patch_audit.sync(created.id, client=client, body=failed, if_match='"1"')
        assert isinstance(patched, Audit)
        stale = audits_patch_audit.sync(created.id, client=client, body=failed, if_match='"1"')
        assert isinstance(stale, Problem)
        deleted = audits_delete_audit.sync(created.id, client=client, x_change_reason="by%20mistake")
        assert isinstance(deleted, AuditDeleted)
        gone = audits_read_audit.sync(created.id, client=client)
        assert isinstance(gone, Problem)
        refused = audits_list_audits.sync(client=client, limit=51)
        assert isinstance(refused, Problem)
        assert isinstance(refused.errors, list)
    found = {
        "id": str(created.id),
        "created": {"status": created.status, "version": created.version},
        "listed": [str(item.id) for item in page.items],
        "patched": {"status": patched.status, "version": patched.version},
        "stale": {"status": stale.status, "code": stale.code},
        "deleted": {"id": str(deleted.id), "version": deleted.version},
        "gone": {"status": gone.status, "code": gone.code},
        "refused": refused.errors[0].loc,
    }
    print(json.dumps(found))


main(sys.argv[1])
