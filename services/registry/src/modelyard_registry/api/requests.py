"""Request bodies."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from modelyard_contracts import VersionStage
from modelyard_contracts.messages import UtcDatetime
from modelyard_registry.api.fields import (
    MAX_INT,
    Body,
    CardText,
    Digest,
    Document,
    Line,
    Manifest,
    Name,
    Reason,
    Semver,
    Tags,
    Text,
    WorkspaceName,
)
from modelyard_registry.usecases.keys import MAX_GRACE_S
from modelyard_runtime.access.authenticator import MAX_TOKEN_CHARS


class NewWorkspaceBody(Body):
    name: WorkspaceName
    description: Text = ""
    owner: Text = ""


class NewResourceBody(Body):
    """name: `name`, or `workspace:name`."""

    name: Name
    description: Text = ""
    owner: Text = ""
    labels: dict[Line, Text] = Field(default_factory=dict)


class OwnerBody(Body):
    """expected_owner: the owner as it was read, empty for none; conflict (409) when it is another one by now."""

    owner: Line
    expected_owner: Text
    reason: Text = ""
    actor: Line | None = None


class NewVersionBody(Body):
    """manifest: the manifest's JSON text, stored byte for byte; or an object, from which the registry writes one."""

    manifest: Manifest
    idempotency_key: Line
    semver: Semver | None = None
    tags: Tags = Field(default_factory=dict)
    correlation_id: UUID | None = None
    cause_id: UUID | None = None
    actor: Line | None = None


class LabelsBody(Body):
    """Fields that are left out stay as they are; a semver label that is set never changes.

    expected_revision: `labels_revision` of the version as it was read; conflict (409) when another change came first.
    """

    semver: Semver | None = None
    tags: Tags | None = None
    expected_revision: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    reason: Text = ""
    actor: Line | None = None


class DecisionBody(Body):
    reason: Reason
    expected_stage: VersionStage | None = None
    """The stage that the decision is about; conflict (409) when the version has left it."""
    actor: Line | None = None


class CardBody(Body):
    """The prose of a card; a section that is left out is empty. expected_revision: 0 for the first one."""

    intended_use: CardText = ""
    limitations: CardText = ""
    ethics: CardText = ""
    notes: CardText = ""
    expected_revision: Annotated[int, Field(ge=0, le=2**31 - 1)]
    reason: Reason
    actor: Line | None = None


class AllowCodeBody(Body):
    reason: Reason
    actor: Line | None = None


class AliasMoveBody(Body):
    version: Annotated[int, Field(ge=1, le=2**31 - 1)]
    expected_generation: Annotated[int, Field(ge=0, le=MAX_INT)]
    reason: Reason
    actor: Line | None = None


class NewPolicyBody(Body):
    document: Document
    expected_revision: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    reason: Text = ""
    actor: Line | None = None


class NewDatasetFileBody(Body):
    """A blob that is a dataset. name: free text, from which the dataset's name is made. workspace: the model's own
    when a model is given."""

    digest: Digest
    name: Line
    model: Name | None = None
    format: Annotated[str, Field(pattern="^parquet$")] = "parquet"
    rows: Annotated[int, Field(ge=0, le=MAX_INT)]
    size_bytes: Annotated[int, Field(ge=0, le=MAX_INT)]
    columns: dict[Line, Line]
    source: Document = Field(default_factory=dict)


class NewKeyBody(Body):
    """roles: workspace, or `*` for all of them, to roles. scopes narrow the roles; None does not."""

    name: Line
    roles: Annotated[dict[Annotated[str, Field(pattern=r"^(\*|[a-z0-9][a-z0-9-]{0,62})$")], tuple[Line, ...]], Field()]
    scopes: Annotated[tuple[Line, ...], Field(max_length=20)] | None = None
    expires_at: UtcDatetime | None = None


class RotationBody(Body):
    """grace_s: how long the old key is still accepted, in seconds."""

    grace_s: Annotated[int, Field(ge=0, le=MAX_GRACE_S)] = 3_600


class IntrospectionBody(Body):
    key: Annotated[str, Field(max_length=MAX_TOKEN_CHARS)]
