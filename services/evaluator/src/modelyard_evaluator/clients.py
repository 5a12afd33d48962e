"""The registry and ClickHouse."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, Final

from modelyard import ApiError, RegistryClient
from modelyard_contracts import VersionStage
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.policies import GatePolicy
from modelyard_evaluator.domain.ports import Away, Known, Refused

COUNT: Final = """
SELECT count() FROM v_labelled
WHERE model = {model:String} AND predicted_at > {since:DateTime64(6, 'UTC')} AND label IS NOT NULL AND label != ''
  AND feature_schema_id IN {schema_ids:Array(String)}
""".strip()


class HttpRegistry:
    """The registry's API, with its errors told apart by what can be done about them."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    def version(self, model: str, version: int) -> Known:
        with _told_apart():
            info = self._client.version(model, version)
            return Known(version, info.digest, self._client.manifest(model, version), info.created_at)

    def champion(self, model: str) -> int | None:
        with _told_apart():
            found = self._client.alias(model, "champion")
        return found.version if found else None

    def approved(self, model: str) -> list[int]:
        with _told_apart():
            return [one.version for one in self._client.versions(model, stage=VersionStage.APPROVED)]

    def policy(self, model: str) -> GatePolicy:
        with _told_apart():
            return self._client.policy(model, "gate")

    def download(self, manifest: ModelManifest, folder: Path) -> None:
        with _told_apart():
            self._client.download(manifest, folder)

    def download_dataset(self, digest: str, file: Path) -> None:
        with _told_apart():
            self._client.get_blob(digest, file)

    def register_dataset(
        self, file: Path, *, model: str, name: str, rows: int, columns: dict[str, str], source: dict[str, Any]
    ) -> str:
        with _told_apart():
            digest = self._client.put_blob(file)
            self._client.create_dataset(
                digest,
                name,
                rows=rows,
                size_bytes=file.stat().st_size,
                columns=columns,
                source=source,
                model=model,
            )
        return digest


@contextmanager
def _told_apart() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        if error.retryable or error.status in {401, 403}:  # a wrong key is our trouble, no fault of the version
            raise Away(str(error)) from error
        raise Refused(str(error)) from error


class ClickHouseLabels:
    """Counts labelled rows. Connects when first asked; a lost connection is made anew at the next question."""

    def __init__(self, url: str, user: str, password: str, database: str) -> None:
        self._given: dict[str, Any] = {"dsn": url, "username": user, "password": password, "database": database}
        self._client: Any = None
        self._lock = Lock()

    def count(self, model: str, since: datetime, schema_ids: tuple[str, ...]) -> int:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        parameters = {
            "model": model,
            "since": since.strftime("%Y-%m-%d %H:%M:%S.%f"),
            "schema_ids": list(schema_ids),
        }
        with self._lock:
            try:
                return int(self._connected().query(COUNT, parameters=parameters).result_rows[0][0])
            except (ClickHouseError, OSError) as error:
                self._client = None
                raise Away(f"ClickHouse: {error}") from error

    def _connected(self) -> Any:
        if self._client is None:
            import clickhouse_connect

            self._client = clickhouse_connect.get_client(**self._given, interface="http", connect_timeout=5)
        return self._client

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
