"""SQL of counts over the bins of reference profiles."""

from datetime import datetime
from typing import Final

from modelyard_monitor.domain.ports import Row
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.parameters import moment

SELECTED: Final = """model = {model:String} AND ({version:UInt32} = 0 OR model_version = {version:UInt32})
    AND ({every:UInt8} = 1 OR feature = {feature:String})"""

REFERENCES_SQL: Final = f"""
SELECT model_version AS version, model_digest AS digest, kind, feature, bin, n AS reference, lower, category
FROM {{db}}.reference_bins FINAL WHERE {SELECTED}
ORDER BY version, digest, kind, feature, bin"""  # noqa: S608  constants only

COUNTS_SQL: Final = f"""
SELECT intDiv(toUnixTimestamp(minute), {{bucket_s:UInt32}}) * {{bucket_s:UInt32}} AS at_s,
    model_version AS version, model_digest AS digest, variant, kind, feature, bin, sum(n) AS current
FROM {{db}}.feature_bins WHERE {SELECTED} AND minute >= toStartOfMinute({{since:DateTime64(6)}})
    AND kind IN ('feature', 'score', 'classes')
GROUP BY at_s, version, digest, variant, kind, feature, bin
ORDER BY at_s, version, variant, kind, feature, bin"""  # noqa: S608  constants only


class BinQueries:
    """The BinRows port on ClickHouse. version: None for all; feature: None for all, '' for score and classes."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def references(self, model: str, version: int | None, feature: str | None) -> list[Row]:
        """Return the bins of the reference profiles."""
        return self._clickhouse.rows(REFERENCES_SQL, _scope(model, version, feature))

    def counts(self, model: str, since: datetime, bucket_s: int, version: int | None, feature: str | None) -> list[Row]:
        """Return the rows per interval and bin since a moment; `at_s` is in Unix seconds."""
        parameters = {**_scope(model, version, feature), "since": moment(since), "bucket_s": bucket_s}
        return self._clickhouse.rows(COUNTS_SQL, parameters)


def _scope(model: str, version: int | None, feature: str | None) -> Row:
    return {"model": model, "version": version or 0, "every": int(feature is None), "feature": feature or ""}
