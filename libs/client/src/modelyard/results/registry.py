"""What the registry answers about connections."""

from datetime import datetime

from modelyard.results.base import Result
from modelyard_contracts.connections import Connection


class ConnectionInfo(Result):
    """A connection to a provider. `used_by`: versions that name it, `model@3`; not filled in lists."""

    name: str
    workspace: str = "default"
    revision: int
    document: Connection
    changed_at: datetime
    changed_by: str
    used_by: tuple[str, ...] = ()
