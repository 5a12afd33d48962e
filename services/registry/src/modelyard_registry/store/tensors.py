"""Digests of the tensors of versions in SQL."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from modelyard_contracts.admission import TensorDigest
from modelyard_registry.domain.values import Resource
from modelyard_registry.store.rows import fields
from modelyard_registry.store.tables import version_tensors as t


class SqlTensors:
    """One connection's view; writes belong inside a transaction, under the lock of the resource."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def of(self, resource: Resource, version: int) -> Sequence[TensorDigest]:
        columns = (t.c.name, t.c.dtype, t.c.shape, t.c.size_bytes, t.c.digest)
        query = select(*columns).where(t.c.resource_id == resource.id, t.c.version == version).order_by(t.c.position)
        return [TensorDigest(**{**fields(row), "shape": tuple(row.shape)}) for row in self._db.execute(query)]

    def save(self, resource: Resource, version: int, tensors: Sequence[TensorDigest]) -> None:
        self._db.execute(delete(t).where(t.c.resource_id == resource.id, t.c.version == version))
        if tensors:
            at = {"resource_id": resource.id, "version": version}
            rows = [{**at, "position": n, **one.model_dump(mode="json")} for n, one in enumerate(tensors)]
            self._db.execute(insert(t), rows)
