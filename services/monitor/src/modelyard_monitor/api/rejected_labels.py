"""`/v1/models/{model}/labels/rejected`."""

import asyncio
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Path

from modelyard_monitor.api.moments import Since, read_since
from modelyard_monitor.domain.rejected_labels import RejectedLabels
from modelyard_monitor.usecases.rejected_labels import LabelsThatDoNotMatch
from modelyard_runtime.clock import Clock
from modelyard_runtime.http.access import allow

HOUR: Final = timedelta(hours=1)
Model = Annotated[str, Path(max_length=256, description="Reference of the model: `name` or `workspace:name`.")]


def add_rejected_labels(app: FastAPI, labels: LabelsThatDoNotMatch, clock: Clock) -> None:
    """Add the report; it quotes labels, as the alert about them does, and needs the same right."""
    router = APIRouter(prefix="/v1/models/{model}", tags=["models"])

    @router.get("/labels/rejected", dependencies=[Depends(allow("read", "alert"))])
    async def rejected(model: Model, since: Since = None) -> RejectedLabels:
        """Return labels that do not match, of predictions since a moment (default: the last hour), with the remedy."""
        return await asyncio.to_thread(labels.of, model, read_since(since, clock() - HOUR))

    app.include_router(router)
