"""Response shapes of registered models and their versions, as MLflow writes them in JSON."""

import json
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from modelyard_contracts import VersionStage
from modelyard_registry.api.mlflow.fields import Json, as_pairs, shown_number
from modelyard_registry.api.mlflow.views import milliseconds
from modelyard_registry.domain.values import Resource, ResourceKey, Version
from modelyard_registry.usecases.run_artifacts import VERSIONS, uri_of

NOTE: Final = "mlflow.note.content"
"""Tag with the description of a version."""
OWN: Final = "modelyard."
"""Tags that state what the registry knows; no client sets them."""
READY: Final = "READY"
LOGGED: Final = "models:/"
"""Source of a version that was made of a logged model: this, and its id."""


def registered_model(resource: Resource, aliases: Mapping[str, int], newest: Version | None) -> Json:
    """`RegisteredModel` with its newest version."""
    at = milliseconds(resource.created_at)
    return {
        "name": resource.key.name,
        "creation_timestamp": at,
        "last_updated_timestamp": milliseconds(newest.created_at) if newest else at,
        "user_id": resource.created_by,
        "description": resource.description,
        "latest_versions": [model_version(resource.key, newest, aliases)] if newest else [],
        "tags": as_pairs(resource.labels),
        "aliases": [{"alias": alias, "version": str(version)} for alias, version in sorted(aliases.items())],
    }


def model_version(key: ResourceKey, version: Version, aliases: Mapping[str, int]) -> Json:
    """`ModelVersion`; its stage, digest and flavour here are tags."""
    at = milliseconds(version.created_at)
    status, message = status_of(version)
    source = source_of(key, version)
    return {
        "name": key.name,
        "version": str(version.version),
        "creation_timestamp": at,
        "last_updated_timestamp": at,
        "user_id": version.created_by,
        "current_stage": "None",
        "description": version.tags.get(NOTE, ""),
        "source": source,
        **({"model_id": source.removeprefix(LOGGED)} if source.startswith(f"{LOGGED}m-") else {}),
        "run_id": run_of(version),
        "status": status,
        "status_message": message,
        "tags": as_pairs({**version.tags, **_own_tags(version)}),
        "aliases": _held(aliases, version),
        "model_metrics": [
            {"key": name, "value": shown_number(value), "timestamp": at, "step": 0}
            for name, value in version.metrics.items()
        ],
    }


def status_of(version: Version) -> tuple[str, str]:
    """MLflow's status of a version, and why it failed."""
    if version.stage is VersionStage.PENDING:
        return "PENDING_REGISTRATION", "its files are not complete or not scanned"
    if version.stage is VersionStage.REJECTED:
        return "FAILED_REGISTRATION", "rejected; the history of the model has the reason"
    return READY, ""


def source_of(key: ResourceKey, version: Version) -> str:
    """Where the version came from, as its manifest states it; its own files otherwise."""
    stated = json.loads(version.manifest).get("source") or {}
    return stated.get("uri") or download_uri(key, version)


def download_uri(key: ResourceKey, version: Version) -> str:
    """Where the files of the version are read."""
    return uri_of(VERSIONS, f"{key.name}/{version.version}")


def run_of(version: Version) -> str:
    """The run that made the version, as MLflow writes ids."""
    if not version.run_id:
        return ""
    try:
        return UUID(version.run_id).hex
    except ValueError:
        return version.run_id


def _own_tags(version: Version) -> dict[str, str]:
    known = {
        "stage": version.stage.value,
        "digest": version.digest,
        "flavour": version.flavour,
        "task": version.task,
        "semver": version.semver,
        "scan": version.scan_verdict,
    }
    return {OWN + name: value for name, value in known.items() if value}


def _held(aliases: Mapping[str, int], version: Version) -> list[str]:
    held: Iterable[str] = (alias for alias, number in aliases.items() if number == version.version)
    return sorted(held)
