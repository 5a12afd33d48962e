"""Scans of model versions, and the permissions that a person grants: `/v1/models/{reference}/versions/{version}`."""

from typing import Any, Final

from fastapi import APIRouter, Depends

from modelyard_contracts.references import Kind
from modelyard_registry.api.callers import actor_of
from modelyard_registry.api.fields import ReferencePath, VersionNumber
from modelyard_registry.api.requests import AllowCodeBody
from modelyard_registry.api.responses import ScanOut, VersionOut
from modelyard_registry.api.versions import show_version
from modelyard_registry.domain.admission import NotScanned
from modelyard_registry.domain.names import model_key
from modelyard_registry.domain.ports import Deps
from modelyard_registry.usecases.admission import allow_permissions, scan_again
from modelyard_registry.usecases.bom import bill_of_materials
from modelyard_runtime.access import Principal
from modelyard_runtime.http import allow

MODEL: Final = Kind.MODEL.value


def routes(deps: Deps) -> APIRouter:
    """The last scan, a scan by the rules of today, and permissions."""
    router = APIRouter(prefix="/v1/models/{reference}/versions/{version}", tags=[MODEL])
    reader, allower = Depends(allow("read", MODEL)), Depends(allow("allow-code", MODEL))
    updater = Depends(allow("update", MODEL))

    @router.get("/scan")
    def show_scan(reference: ReferencePath, version: VersionNumber, _: Principal = reader) -> ScanOut:
        """Return the last scan with all its findings; conflict (409) before the first one."""
        with deps.storage.read() as records:
            resource = records.resources.get(model_key(reference))
            records.versions.get(resource, version)
            scan = records.scans.get(resource, version)
        if scan is None:
            raise NotScanned(version)
        return ScanOut.of(scan, deps.scanner.current_rules())

    @router.get("/bom")
    def show_bom(reference: ReferencePath, version: VersionNumber, _: Principal = reader) -> dict[str, Any]:
        """Return the bill of materials: CycloneDX 1.6 with a machine-learning-model component."""
        return bill_of_materials(deps, model_key(reference), version)

    @router.post("/scan")
    def scan_now(reference: ReferencePath, version: VersionNumber, principal: Principal = updater) -> ScanOut:
        """Scan the files by the rules of today. A malicious version is rejected, or marked while it serves."""
        scan = scan_again(deps, model_key(reference), version, actor=principal.identity)
        return ScanOut.of(scan, deps.scanner.current_rules())

    @router.post("/allow-code")
    def allow_code(
        reference: ReferencePath, version: VersionNumber, body: AllowCodeBody, principal: Principal = allower
    ) -> VersionOut:
        """Grant the permissions that the manifest of a version asks for, with a reason; finalize needs it."""
        key, actor = model_key(reference), actor_of(principal, body.actor)
        return show_version(deps, key, allow_permissions(deps, key, version, actor=actor, reason=body.reason))

    return router
