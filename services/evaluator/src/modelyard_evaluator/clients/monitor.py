"""The monitor over HTTP: performance alarms."""

from pydantic import ValidationError

from modelyard import ApiError, MonitorClient
from modelyard_evaluator.domain.errors import Unreachable
from modelyard_evaluator.domain.evaluation import OpenAlarm


class HttpAlarms:
    """Implements domain.ports.Alarms. Any failure is an unknown answer: a monitor of an older release has no alarms."""

    def __init__(self, client: MonitorClient) -> None:
        self._client = client

    def open_alarm(self, model: str, version: int) -> OpenAlarm | None:
        try:
            found = self._client.alarms(model, version=version)
        except (ApiError, ValidationError, KeyError, TypeError, ValueError) as error:
            raise Unreachable(f"the monitor does not answer: {error}") from error
        opened = [alarm for alarm in found if alarm.state == "open" and alarm.version == version]
        if not opened:
            return None
        newest = max(opened, key=lambda alarm: alarm.last_event_at)
        return OpenAlarm(newest.subject, newest.since, newest.change_point)
