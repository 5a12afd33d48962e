"""SQL of the votes of ensembles."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from modelyard_contracts import FeedbackReceived
from modelyard_monitor.domain.ports import Row
from modelyard_monitor.domain.votes import Cursor
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.parameters import moment

ENDS_SQL: Final = """
SELECT _partition, max({column}) AS place FROM {db}.{table}
WHERE _topic = {topic:String} AND ({where}) GROUP BY _partition"""

LABELS_SQL: Final = """
SELECT _partition, _offset, wrong, absolute_error, votes FROM {db}.labels
WHERE _topic = {topic:String} AND model = {model:String} AND matched = 1 AND repeat = 0 AND rejected = ''
    AND notEmpty(votes) AND ({where})
ORDER BY _partition, _offset LIMIT {limit:UInt32} BY _partition"""

LATE_SQL: Final = """
SELECT _partition, _offset, wrong, absolute_error, votes FROM {db}.label_matches
WHERE _topic = {topic:String} AND model = {model:String} AND repeat = 0 AND rejected = ''
    AND notEmpty(votes) AND ({where})
ORDER BY _partition, pass, _offset"""

CALLS_SQL: Final = """
SELECT tupleElement(call, 'version') AS version, count() AS asked,
    countIf(tupleElement(call, 'status') IN ('upstream_error', 'timeout')) AS failed,
    quantileTDigestIf(0.95)(tupleElement(call, 'latency_ms'), tupleElement(call, 'status') = 'ok'
        AND isFinite(tupleElement(call, 'latency_ms'))) AS latency_ms_p95
FROM {db}.predictions ARRAY JOIN attempts AS call
WHERE occurred_at >= {since:DateTime64(6)} AND model = {model:String} AND shadow_of IS NULL
    AND tupleElement(call, 'model') = {model:String}
GROUP BY version ORDER BY version"""


QUALITY_SQL: Final = """
SELECT intDiv(toUnixTimestamp(assumeNotNull(predicted_at)), {bucket_s:UInt32}) * {bucket_s:UInt32} AS at_s, version,
    countIf(wrong IS NOT NULL) AS labelled, countIf(wrong = 1) AS member_wrong, avg(absolute_error) AS member_error,
    countIf(wrong IS NOT NULL AND answer_wrong = 1) AS answers_wrong, avg(answer_absolute_error) AS answers_error
FROM {db}.v_votes
WHERE model = {model:String} AND predicted_at >= {since:DateTime64(6)}
GROUP BY at_s, version ORDER BY at_s, version"""


class VoteQueries:
    """The VoteRows port on ClickHouse."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def ends(self, after: Cursor | None) -> tuple[dict[int, int], dict[int, int]]:
        """Return the newest offset and the newest round per partition, of rows after a cursor."""
        offsets, rounds = (after.offsets, after.rounds) if after else ({}, {})
        return (
            {**offsets, **self._ends("labels", "_offset", offsets)},
            {**rounds, **self._ends("label_matches", "pass", rounds)},
        )

    def _ends(self, table: str, column: str, after: Mapping[int, int]) -> dict[int, int]:
        sql = ENDS_SQL.replace("{table}", table).replace("{column}", column).replace("{where}", _after(column, after))
        rows = self._clickhouse.rows(sql, {"topic": FeedbackReceived.TOPIC})
        return {row["_partition"]: row["place"] for row in rows}

    def labels(self, model: str, after: Cursor, until: Cursor, limit: int) -> list[Row]:
        """Return the labels of a model that arrived between two cursors, at most `limit` per partition."""
        sql = LABELS_SQL.replace("{where}", _between("_offset", after.offsets, until.offsets))
        return self._clickhouse.rows(sql, {"topic": FeedbackReceived.TOPIC, "model": model, "limit": limit})

    def late_labels(self, model: str, after: Cursor, until: Cursor) -> list[Row]:
        """Return the labels of a model that were joined in the rounds between two cursors."""
        sql = LATE_SQL.replace("{where}", _between("pass", after.rounds, until.rounds))
        return self._clickhouse.rows(sql, {"topic": FeedbackReceived.TOPIC, "model": model})

    def calls(self, model: str, since: datetime) -> list[Row]:
        """Return calls per version since a moment."""
        return self._clickhouse.rows(CALLS_SQL, {"model": model, "since": moment(since)})

    def quality(self, model: str, since: datetime, bucket_s: int) -> list[Row]:
        """Return labels, wrong votes and wrong answers per interval and version; `at_s` is in Unix seconds."""
        parameters = {"model": model, "since": moment(since), "bucket_s": bucket_s}
        return self._clickhouse.rows(QUALITY_SQL, parameters)


def _after(column: str, places: Mapping[int, int]) -> str:
    """Condition of rows after these places; all rows of a partition without one."""
    known = ", ".join(map(str, sorted(places)))
    parts = [f"(_partition = {part} AND {column} > {place})" for part, place in sorted(places.items())]
    return " OR ".join([*parts, f"_partition NOT IN ({known})"]) if parts else "1"


def _between(column: str, after: Mapping[int, int], until: Mapping[int, int]) -> str:
    """Condition of rows after one place and up to another, both by partition."""
    parts = [
        f"(_partition = {part} AND {column} > {after.get(part, -1)} AND {column} <= {place})"
        for part, place in sorted(until.items())
        if place > after.get(part, -1)
    ]
    return " OR ".join(parts) or "0"
