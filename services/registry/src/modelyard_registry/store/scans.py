"""Scans of versions in SQL."""

from collections.abc import Collection, Sequence
from itertools import pairwise

from sqlalchemy import Connection, case, or_, select, update

from modelyard_contracts import VersionStage
from modelyard_contracts.admission import ScanReport
from modelyard_registry.domain.kinds import KINDS
from modelyard_registry.domain.values import Resource, ResourceKey, Scan
from modelyard_registry.store.rows import upsert
from modelyard_registry.store.tables import resources, versions
from modelyard_registry.store.tables import scan_reports as t

SERVABLE = tuple(
    stage.value for stage in (VersionStage.REGISTERED, VersionStage.EVALUATED, VersionStage.APPROVED, VersionStage.LIVE)
)
"""Stages that lead to traffic without a further scan."""


class SqlScans:
    """One connection's view; writes belong inside a transaction, under the lock of the resource."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def get(self, resource: Resource, version: int) -> Scan | None:
        query = select(t.c.report, t.c.scanned_at).where(t.c.resource_id == resource.id, t.c.version == version)
        row = self._db.execute(query).one_or_none()
        return Scan(ScanReport.model_validate(row.report, extra="ignore"), row.scanned_at) if row else None

    def save(self, resource: Resource, version: int, scan: Scan) -> None:
        report = scan.report
        at = {"resource_id": resource.id, "version": version}
        facts = {"rules_version": report.rules_version, "verdict": report.verdict.value, "scanned_at": scan.scanned_at}
        row = {**at, **facts, "report": report.model_dump(mode="json")}
        upsert(self._db, t, row, key=("resource_id", "version"))
        own = (versions.c.resource_id == resource.id, versions.c.version == version)
        shown = {"scan_verdict": report.verdict.value, "scan_rules": report.rules_version}
        self._db.execute(update(versions).where(*own).values(**shown))

    def outdated(self, current_rules: Collection[str], limit: int) -> Sequence[tuple[ResourceKey, int]]:
        v, r = versions.c, resources.c
        kinds = [name for name, kind in KINDS.items() if kind.scanned]
        # Ranges between the current rules instead of inequalities, so that the index over the rules is read.
        rules = sorted(current_rules)
        between = [(v.scan_rules > low) & (v.scan_rules < high) for low, high in pairwise(rules)]
        other = or_(v.scan_rules.is_(None), v.scan_rules < rules[0], *between, v.scan_rules > rules[-1])
        live_first = case((v.stage == VersionStage.LIVE.value, 0), else_=1)
        query = (
            select(r.workspace, r.kind, r.name, v.version)
            .join_from(versions, resources, r.id == v.resource_id)
            .where(other, v.stage.in_(SERVABLE), r.kind.in_(kinds))
            .order_by(live_first, v.created_at.desc(), v.resource_id, v.version)
        )
        return [(ResourceKey(*row[:3]), row.version) for row in self._db.execute(query.limit(limit))]
