"""Refusals of the schema API, with Confluent's numbers: the first three digits are the HTTP status."""

from collections.abc import Sequence
from typing import ClassVar

from modelyard_runtime.errors import ModelyardError


class SchemaApiError(ModelyardError):
    """Base; `error_code` is read by clients of the Confluent API."""

    error_code: ClassVar[int]
    code = "schema_registry"


class SubjectNotFound(SchemaApiError):
    error_code = 40401

    def __init__(self, subject: str) -> None:
        super().__init__(f"Subject '{subject}' not found.")


class VersionGone(SchemaApiError):
    error_code = 40402

    def __init__(self, version: str) -> None:
        super().__init__(f"Version {version} not found.")


class SchemaNotFound(SchemaApiError):
    error_code = 40403

    def __init__(self, schema_id: object = None) -> None:
        super().__init__("Schema not found" if schema_id is None else f"Schema {schema_id} not found")


class SubjectAlreadyDeleted(SchemaApiError):
    error_code = 40404

    def __init__(self, subject: str) -> None:
        super().__init__(f"Subject '{subject}' was soft deleted. Set permanent=true to delete permanently")


class SubjectNotSoftDeleted(SchemaApiError):
    error_code = 40405

    def __init__(self, subject: str) -> None:
        super().__init__(f"Subject '{subject}' was not deleted first before being permanently deleted")


class LevelNotSet(SchemaApiError):
    error_code = 40408

    def __init__(self, subject: str) -> None:
        super().__init__(f"Subject '{subject}' does not have subject-level compatibility configured")


class Incompatible(SchemaApiError):
    error_code = 40901

    def __init__(self, subject: str, reasons: Sequence[str]) -> None:
        super().__init__(
            f"Schema being registered is incompatible with an earlier schema for subject {subject!r}; "
            f"details: {'; '.join(reasons[:10])}"
        )


class MalformedSchema(SchemaApiError):
    error_code = 42201


class VersionNotFound(SchemaApiError):
    """Not a version number."""

    error_code = 42202

    def __init__(self, version: str) -> None:
        super().__init__(
            f"The specified version '{version}' is not a valid version id. "
            'Allowed values are between [1, 2^31-1] and the string "latest"'
        )


class InvalidLevel(SchemaApiError):
    error_code = 42203

    def __init__(self, level: object, levels: Sequence[str]) -> None:
        super().__init__(f"Invalid compatibility level {level!r}. Valid values are {', '.join(levels)}")


class PlatformSubject(SchemaApiError):
    error_code = 42205

    def __init__(self, subject: str) -> None:
        super().__init__(f"Subject '{subject}' belongs to Modelyard and cannot be deleted")
