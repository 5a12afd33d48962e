"""Hostile requests to every endpoint, among them those of the schema registry."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from modelyard_devstack.testing.access import role_keys
from modelyard_devstack.testing.hostile import operations_of, served, walk_hostile
from modelyard_registry.testing import InProcessRegistry

AVRO: Final = '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "long", "default": 0}]}'
SCHEMA: Final = {"schema": AVRO, "schemaType": "AVRO", "references": []}
BODIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "POST /subjects/{subject}/versions": SCHEMA,
    "POST /subjects/{subject}": SCHEMA,
    "POST /compatibility/subjects/{subject}/versions/{version}": SCHEMA,
    "POST /compatibility/subjects/{subject}/versions": SCHEMA,
    "PUT /config": {"compatibility": "FULL_TRANSITIVE"},
    "PUT /config/{subject}": {"compatibility": "FULL_TRANSITIVE"},
}
SAMPLES: Final = {"version": "1", "digest": "sha256:" + "0" * 64, "schema_id": "1", "subject": "s", "model": "churn"}


@pytest.mark.slow
@pytest.mark.timeout(900)  # some ten thousand requests
async def test_hostile_requests_get_an_answer_that_blames_the_caller(tmp_path: Path) -> None:
    with InProcessRegistry(tmp_path, authenticator=role_keys()) as registry:
        app = registry.registry.service.app
        async with served(app) as port:
            sent = await walk_hostile(port, operations_of(app), key="admin@*", samples=SAMPLES, bodies=BODIES)
    assert sent > 5_000
