"""Keys of the services, written by the operator as files `<service>.key`; only their hashes are stored."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from modelyard_registry.domain.key_hashes import verify_key
from modelyard_registry.domain.ports import Deps, Unit
from modelyard_registry.domain.values import ApiKey, Origin
from modelyard_registry.usecases.keys import described, id_of
from modelyard_runtime.access import ALL_WORKSPACES, SERVICE_ROLES
from modelyard_runtime.errors import Invalid

GRACE: Final = timedelta(hours=1)
"""How long a key is still accepted after its file has another one."""
SEEDED_BY: Final = "service-keys"


def seed_service_keys(deps: Deps, texts: Mapping[str, str], origin: Origin) -> int:
    """Store the key of each service; returns how many are new.

    texts: service to the text of its key. Another key that was seeded for the same service expires after GRACE.
    """
    if unknown := sorted(service for service in texts if f"service-{service}" not in SERVICE_ROLES):
        raise Invalid(f"{unknown[0]}.key: there is no service {unknown[0]!r}", field="service")
    new = 0
    with deps.storage.transaction() as unit:
        for service, text in sorted(texts.items()):
            new += _seed_one(deps, unit, service, text, origin)
    return new


def _seed_one(deps: Deps, unit: Unit, service: str, text: str, origin: Origin) -> bool:
    for other in unit.keys.all():
        if other.created_by == SEEDED_BY and other.identity == service and other.id != id_of(text):
            _expire(unit, other, origin)
    wanted = described(deps, text, service, {ALL_WORKSPACES: (f"service-{service}",)}, origin)
    known = unit.keys.get(wanted.id)
    if known is None:
        unit.keys.add(replace(wanted, kind="service", created_by=SEEDED_BY))
        return True
    if not verify_key(deps.hash_secrets(), text, known.hash_secret_id, known.secret_hash):
        unit.keys.set_hash(known.id, wanted.hash_secret_id, wanted.secret_hash)
    if known.expires_at is not None:
        unit.keys.expire(known.id, None)
    return False


def _expire(unit: Unit, key: ApiKey, origin: Origin) -> None:
    if key.active(origin.at) and key.expires_at is None:
        unit.keys.expire(key.id, origin.at + GRACE)
