"""Online learners in SQL."""

from collections.abc import Callable, Sequence

from sqlalchemy import delete, insert, select

from modelyard_runtime.database import Database
from modelyard_trainer.domain.learners import Learner
from modelyard_trainer.store.tables import learners


class LearnerStore:
    """domain.ports.Learners. Blocks: call it off the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, model: str | None = None, readable: Callable[[str], bool] = lambda _: True) -> Sequence[Learner]:
        query = select(learners.c.model, learners.c.document).order_by(learners.c.model, learners.c.kind)
        query = query if model is None else query.where(learners.c.model == model)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [Learner.model_validate(document) for reference, document in rows if readable(reference)]

    def change(self, learner: Learner, change: Callable[[Learner], Learner]) -> Learner:
        """Read, change and store in one transaction; a learner without a row is stored."""
        with self._database.transaction() as transaction:
            connection = transaction.connection
            query = select(learners.c.document).where(learners.c.id == learner.id).with_for_update()
            found = connection.execute(query).scalar_one_or_none()
            old = learner if found is None else Learner.model_validate(found)
            new = change(old)
            if found is None or new != old:
                connection.execute(delete(learners).where(learners.c.id == learner.id))
                row = {"id": new.id, "model": new.model, "kind": new.kind, "document": new.model_dump(mode="json")}
                connection.execute(insert(learners).values(row))
        return new
