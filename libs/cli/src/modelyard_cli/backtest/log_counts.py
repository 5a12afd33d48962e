"""What the log of a running backtest holds of one model; a ClickHouse that restarts is waited for."""

import time
from typing import Any, Final

from modelyard_cli.context import Platform
from modelyard_cli.demo.data import Stream
from modelyard_cli.stack.layout import StackError

PATIENCE_S: Final = 60.0
PAUSE_S: Final = 0.5
COUNTS_SQL: Final = """
SELECT (SELECT uniqExact(prediction_id) FROM predictions WHERE model = {model:String} AND status = 'ok') AS answered,
    (SELECT uniqExact(prediction_id) FROM v_matched WHERE model = {model:String}) AS labelled"""
VOTES_SQL: Final = "SELECT uniqExact(prediction_id) AS votes FROM v_votes WHERE model = {model:String}"
STORED_SQL: Final = """
SELECT prediction_id, class, score FROM v_predictions
WHERE model = {model:String} AND status = 'ok' AND prediction_id >= {first:String}"""


class Log:
    """Queries about one model over one connection, to close."""

    def __init__(self, platform: Platform, stream: Stream) -> None:
        self._platform, self._stream = platform, stream
        self._client: Any = None

    def counts(self) -> tuple[int, int]:
        """Predictions that were answered, and those of them with a label."""
        [found] = self._query(COUNTS_SQL)
        return int(found["answered"]), int(found["labelled"])

    def votes(self) -> int:
        """Predictions with a label on which members voted."""
        [found] = self._query(VOTES_SQL)
        return int(found["votes"])

    def stored(self, first: str) -> dict[str, Any]:
        """Outputs of the answers from prediction id `first` on."""
        output = "class" if self._stream.classes else "score"
        return {row["prediction_id"]: row[output] for row in self._query(STORED_SQL, first=first)}

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _query(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if self._client is None:
                    self._client = self._platform.clickhouse()
                found = self._client.query(sql, parameters={"model": self._stream.name, **parameters})
                return list(found.named_results())
            except (ClickHouseError, OSError) as error:
                self.close()
                if time.monotonic() > deadline:
                    raise StackError(
                        f"ClickHouse has not answered for {PATIENCE_S:.0f} s ({error}); run the same command again"
                    ) from error
                time.sleep(PAUSE_S)
