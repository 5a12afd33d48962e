"""Table definitions for queries; the tables are created by migrations/."""

from typing import Final

from sqlalchemy import JSON, Boolean, Column, Float, Integer, LargeBinary, MetaData, Table, Text, Uuid

from modelyard_contracts import RolloutState
from modelyard_deployer.domain.rollouts import ACTIVE_STATES
from modelyard_runtime.tables import UtcDateTime, literally_in

METADATA: Final = MetaData()

ROLLOUTS: Final = Table(
    "rollouts",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("model", Text),
    Column("state", Text),
    Column("created_at", UtcDateTime),
    Column("writes", Integer),
    Column("abort_reason", Text),
    Column("abort_against", Boolean),
    Column("document", JSON),
)
OPEN: Final = literally_in("state", (RolloutState.PENDING, *ACTIVE_STATES))
"""Open rollouts, as in their index: a new open state needs a migration of it."""
SERVING: Final = Table(
    "serving",
    METADATA,
    Column("model", Text, primary_key=True),
    Column("writes", Integer),
    Column("document", JSON),
)
ROUTES: Final = Table(
    "routes",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("sequence", Integer),
    Column("writes", Integer),
    Column("document", JSON),
)
ROUTE_MODELS: Final = Table(
    "route_models",
    METADATA,
    Column("route", Text, primary_key=True),
    Column("model", Text, primary_key=True),
)
PUBLICATIONS: Final = Table(
    "publications",
    METADATA,
    Column("route", Text, primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("published_at", UtcDateTime),
    Column("document", JSON),
)
ACKS: Final = Table(
    "acks",
    METADATA,
    Column("route", Text, primary_key=True),
    Column("router_id", Text, primary_key=True),
    Column("sequence", Integer),
    Column("accepted", Boolean),
    Column("reason", Text),
    Column("seen_at", UtcDateTime),
)
COMPARISONS: Final = Table(
    "comparisons",
    METADATA,
    Column("model", Text, primary_key=True),
    Column("challenger", Integer, primary_key=True),
    Column("other", Integer, primary_key=True),
    Column("verdict", Text),
    Column("difference", Float),
    Column("low", Float),
    Column("high", Float),
    Column("evaluated_at", UtcDateTime),
)
VOTES: Final = Table(
    "votes",
    METADATA,
    Column("model", Text, primary_key=True),
    Column("writes", Integer),
    Column("document", JSON),
)
VERSIONS: Final = Table(
    "versions",
    METADATA,
    Column("model", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("digest", Text),
    Column("stage", Text),
    Column("manifest", LargeBinary),
)
