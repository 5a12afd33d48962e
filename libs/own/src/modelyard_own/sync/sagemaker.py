"""Model package groups of Amazon SageMaker, over boto3 (extra `sagemaker`).

Region and credentials are those of boto3: AWS_REGION, AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and so on.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from modelyard.errors import ApiError
from modelyard_contracts.manifest import SourceKind
from modelyard_own.errors import UnfitModel
from modelyard_own.remote import MIB, Report
from modelyard_own.sync.foreign import Fits, ForeignModel, ForeignVersion

APPROVAL: Final = "sagemaker.approval"
STAGE: Final = "sagemaker.stage"
"""Tags with the approval and the life cycle of a package. They approve nothing here: this registry needs evidence."""
COMPLETED: Final = "Completed"


class SageMakerRegistry:
    """Model packages of one region."""

    kind: SourceKind = "sagemaker"

    def __init__(self, region: str, timeout_s: float | None = None) -> None:
        """timeout_s: for connecting and each read, without repetitions; None is what boto3 does."""
        boto3 = _boto3()
        with _refusals():
            config = _config(timeout_s)
            self._client = boto3.client("sagemaker", region_name=region, config=config)
            self._s3 = boto3.client("s3", region_name=region, config=config)
        self.uri = f"sagemaker:{region}"
        self._groups: dict[str, str] = {}
        """Name to ARN, of the groups that were listed."""

    def page_of(self, model: str) -> str:
        """ARN of a group, which has region and account."""
        return self._groups[model]

    def models(self, name: str | None) -> Iterator[ForeignModel]:
        """Model package groups, or one of them."""
        asked = {} if name is None else {"NameContains": name}
        listed = self._pages("list_model_package_groups", "ModelPackageGroupSummaryList", **asked)
        for group in (one for one in listed if name in (None, one["ModelPackageGroupName"])):
            found = str(group["ModelPackageGroupName"])
            self._groups[found] = str(group["ModelPackageGroupArn"])
            packages = self._pages("list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=found)
            arns = [one["ModelPackageArn"] for one in packages if one.get("ModelPackageStatus", COMPLETED) == COMPLETED]
            versions = sorted((self._version(found, arn) for arn in arns), key=lambda version: int(version.key))
            yield ForeignModel(found, tuple(versions), group.get("ModelPackageGroupDescription") or "")

    def _pages(self, call: str, field: str, **asked: str) -> Iterator[Mapping[str, Any]]:
        with _refusals():
            for page in self._client.get_paginator(call).paginate(**asked):
                yield from page[field]

    def _version(self, model: str, arn: str) -> ForeignVersion:
        with _refusals():
            found = self._client.describe_model_package(ModelPackageName=arn)
        states = {APPROVAL: found.get("ModelApprovalStatus"), STAGE: (found.get("ModelLifeCycle") or {}).get("Stage")}
        own = {str(name): str(value) for name, value in (found.get("CustomerMetadataProperties") or {}).items()}
        return ForeignVersion(
            model=model,
            key=str(found["ModelPackageVersion"]),
            artifacts=_data_url(found),
            description=found.get("ModelPackageDescription") or "",
            tags=own | {name: str(value) for name, value in states.items() if value},
            made_at=found["CreationTime"].replace(microsecond=0),
        )

    def fetch(self, version: ForeignVersion, folder: Path, report: Report, fits: Fits) -> Path:
        """Download `model.tar.gz` from its bucket."""
        parts = urlsplit(version.artifacts)
        if parts.scheme != "s3":
            raise UnfitModel(f"version {version.key}: has no model data in a bucket ({version.artifacts or 'none'})")
        archive, bucket, key, done = folder / "model.tar.gz", parts.netloc, parts.path.lstrip("/"), 0

        def progress(count: int) -> None:
            nonlocal done
            done += count
            report(f"downloading {version.model} {version.key}: {done / MIB:.1f} MiB")

        with _refusals():
            fits(int(self._s3.head_object(Bucket=bucket, Key=key)["ContentLength"]))
            self._s3.download_file(bucket, key, str(archive), Callback=progress)
        return archive


def _data_url(found: Mapping[str, Any]) -> str:
    containers = (found.get("InferenceSpecification") or {}).get("Containers") or [{}]
    return str(containers[0].get("ModelDataUrl") or "")


def _config(timeout_s: float | None) -> Any:
    if timeout_s is None:
        return None
    limits = {"connect_timeout": timeout_s, "read_timeout": timeout_s, "retries": {"total_max_attempts": 1}}
    return import_module("botocore.config").Config(**limits)


def _boto3() -> Any:
    try:
        return import_module("boto3")
    except ModuleNotFoundError as error:
        raise UnfitModel("sync sagemaker needs boto3; install modelyard-own[sagemaker]") from error


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn errors of boto3 into ApiError; its texts name no secrets."""
    exceptions = import_module("botocore.exceptions")
    try:
        yield
    except (exceptions.ClientError, exceptions.BotoCoreError) as error:
        remedy = "check --from (a region), AWS_PROFILE or AWS_ACCESS_KEY_ID, and the rights of the role"
        raise ApiError(0, "refused", f"SageMaker: {error}", remedy) from error
