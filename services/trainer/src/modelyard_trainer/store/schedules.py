"""Schedules in SQL."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select

from modelyard_runtime.database import Database
from modelyard_trainer.domain.schedule import Schedule
from modelyard_trainer.store.tables import schedules


class ScheduleStore:
    """domain.ports.Schedules. Blocks: call it off the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> Sequence[Schedule]:
        with self._database.read() as connection:
            rows = connection.execute(select(schedules.c.document).order_by(schedules.c.model)).scalars().all()
        return [Schedule.model_validate(document) for document in rows]

    def get(self, model: str) -> Schedule | None:
        with self._database.read() as connection:
            query = select(schedules.c.document).where(schedules.c.model == model)
            found = connection.execute(query).scalar_one_or_none()
        return None if found is None else Schedule.model_validate(found)

    def put(self, schedule: Schedule) -> None:
        """Store the schedule in the place of the model's earlier one."""
        if self.get(schedule.model) == schedule:
            return
        with self._database.transaction() as transaction:
            row = {"model": schedule.model, "document": schedule.model_dump(mode="json")}
            transaction.connection.execute(delete(schedules).where(schedules.c.model == schedule.model))
            transaction.connection.execute(insert(schedules).values(row))

    def remove(self, model: str) -> None:
        if self.get(model) is None:
            return
        with self._database.transaction() as transaction:
            transaction.connection.execute(delete(schedules).where(schedules.c.model == model))
