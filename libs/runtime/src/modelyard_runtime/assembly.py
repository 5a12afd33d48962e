"""What services that own tables, follow topics and answer HTTP have in common, put together in one place."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from fastapi import FastAPI

from modelyard_contracts import Message
from modelyard_contracts.codec import Codec
from modelyard_runtime.access import Authenticator, registry_introspection
from modelyard_runtime.clock import Clock, system_clock
from modelyard_runtime.database import Database, migrate, open_engine
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app
from modelyard_runtime.inbox import forget_claims
from modelyard_runtime.kafka import EventConsumer
from modelyard_runtime.kafka.events import Handler
from modelyard_runtime.metrics import Metrics
from modelyard_runtime.relay import OutboxRelay
from modelyard_runtime.retention import Periodic
from modelyard_runtime.schemas import RegistrySchemas
from modelyard_runtime.service import Background, Hook, Service
from modelyard_runtime.settings import ServiceSettings, StatefulSettings


def authenticator_of(settings: ServiceSettings, clock: Clock = system_clock) -> Authenticator:
    """Check keys at the registry, as this service; the admin key is known here only where it is configured."""
    admin_key = None if settings.admin_key_file is None else settings.admin_key
    return Authenticator(admin_key, registry_introspection(settings.registry_url, settings.service_key), clock)


class Assembly:
    """Database, outbox relay, consumer and API of one service; nothing is connected before the service runs.

    name: of the service, of its consumer group and of its migrations (`modelyard_<name>:migrations`).
    """

    def __init__(self, name: str, settings: StatefulSettings, clock: Clock = system_clock) -> None:
        self.name, self.settings, self.clock = name, settings, clock
        self.readiness = Readiness()
        self.readiness.set("database", False, "not opened yet")
        self.metrics = Metrics(name)
        self.database = Database(open_engine(settings.resolved_database_url), clock)

    def service(
        self,
        handlers: Mapping[type[Message], Handler],
        add_routes: Callable[[FastAPI], None],
        *,
        background: Sequence[Background] = (),
        on_start: Hook | None = None,
        on_stop: Hook | None = None,
        background_grace_s: float = 20.0,
    ) -> Service:
        """The process. `on_start` runs once the tables are there, `on_stop` before the database is closed, and also
        when the start failed half way."""
        relay = OutboxRelay(self.database, self.settings.kafka_bootstrap_servers, self.name, readiness=self.readiness)
        consumer = self._consumer(handlers)
        forgetting = Periodic("forgetting handled events", self._forget)

        async def start() -> None:
            await asyncio.to_thread(migrate, self.database.engine, f"modelyard_{self.name}:migrations")
            self.readiness.set("database", True)
            if on_start is not None:
                await on_start()

        async def stop() -> None:
            if on_stop is not None:
                await on_stop()
            self.database.close()

        return Service(
            self.name,
            self.settings,
            self._app(consumer, add_routes),
            background=[relay.run, consumer.run, forgetting.run, *background],
            on_start=start,
            on_stop=stop,
            readiness=self.readiness,
            background_grace_s=background_grace_s,
        )

    def _consumer(self, handlers: Mapping[type[Message], Handler]) -> EventConsumer:
        return EventConsumer(
            bootstrap=self.settings.kafka_bootstrap_servers,
            group=self.name,
            service=self.name,
            handlers=handlers,
            codec=Codec(RegistrySchemas(self.settings.registry_url, self.settings.service_key)),
            readiness=self.readiness,
        )

    def _app(self, consumer: EventConsumer, add_routes: Callable[[FastAPI], None]) -> FastAPI:
        app = create_app(
            service=self.name,
            authenticator=authenticator_of(self.settings, self.clock),
            readiness=self.readiness,
            metrics=self.metrics,
            consumers=[consumer],
        )
        add_routes(app)
        return app

    def _forget(self) -> None:
        forget_claims(self.database, self.settings.inbox_keep)
