"""The wiring of a service that owns tables, reads topics and answers HTTP."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fastapi import FastAPI
from sqlalchemy import inspect

from modelyard_contracts import Message
from modelyard_contracts.codec import Codec
from modelyard_runtime.access import Authenticator, registry_introspection
from modelyard_runtime.changes import ChangeLog
from modelyard_runtime.clock import Clock, system_clock
from modelyard_runtime.database import Database, migrate, open_engine
from modelyard_runtime.errors import StartupError
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app
from modelyard_runtime.http.dead_letters import Letters, add_dead_letters
from modelyard_runtime.http.resends import RecordResending, registry_record
from modelyard_runtime.inbox import forget_claims
from modelyard_runtime.kafka import EventConsumer, LetterBox
from modelyard_runtime.kafka.events import Handler
from modelyard_runtime.metrics import Metrics
from modelyard_runtime.policy_time import policy_time_of
from modelyard_runtime.relay import OutboxRelay
from modelyard_runtime.retention import Periodic
from modelyard_runtime.schemas import RegistrySchemas
from modelyard_runtime.service import Background, Hook, Service
from modelyard_runtime.settings import ServiceSettings, StatefulSettings


def authenticator_of(settings: ServiceSettings, clock: Clock = system_clock) -> Authenticator:
    """Check keys at the registry, as this service; the admin key is known here only where it is configured."""
    admin_key = None if settings.admin_key_file is None else settings.admin_key
    return Authenticator(admin_key, registry_introspection(settings.registry_url, settings.service_key), clock)


def record_of(settings: ServiceSettings) -> RecordResending:
    """Record at the registry, as this service, who has dead letters handled again."""
    return registry_record(settings.registry_url, lambda: settings.service_key)


@dataclass(frozen=True)
class Parts:
    """Parts that a service replaces by its own; None takes the usual one.

    authenticator: checks keys. codec: reads the events of other services. kafka_readiness: where relay and consumer
    report, for a service that answers requests without Kafka. large_paths: path prefix to the bytes of larger bodies.
    letters: dead letters of the service. record: writes who has them handled again to the audit history.
    """

    authenticator: Authenticator | None = None
    codec: Codec | None = None
    kafka_readiness: Readiness | None = None
    large_paths: Mapping[str, int] = field(default_factory=dict)
    letters: Letters | None = None
    record: RecordResending | None = None


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
        self.policy_time = policy_time_of(settings.replay_file)

    def service(
        self,
        handlers: Mapping[type[Message], Handler],
        add_routes: Callable[[FastAPI], None],
        *,
        background: Sequence[Background] = (),
        on_start: Hook | None = None,
        on_stop: Hook | None = None,
        background_grace_s: float = 20.0,
        parts: Parts = Parts(),
    ) -> Service:
        """Build the process.

        on_start runs once the tables exist, on_stop before the database is closed, also when the start failed half way.
        """
        kafka = parts.kafka_readiness or self.readiness
        relay = OutboxRelay(
            self.database,
            self.settings.brokers,
            self.name,
            readiness=kafka,
            signer=self.settings.signer(self.name),
        )
        consumer = self._consumer(handlers, parts)
        forgetting = Periodic("deleting old claims and changes", self._forget)

        async def start() -> None:
            await asyncio.to_thread(self.migrate)
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
            self._app(consumer, add_routes, parts),
            background=[relay.run, consumer.run, forgetting.run, *background],
            on_start=start,
            on_stop=stop,
            readiness=self.readiness,
            background_grace_s=background_grace_s,
        )

    def migrate(self) -> None:
        """Create or update the tables; StartupError names the setting when the database cannot be used."""
        try:
            migrate(self.database.engine, f"modelyard_{self.name}:migrations")
        except StartupError:
            raise
        except Exception as error:
            raise StartupError(f"{self.name.upper()}_DATABASE_URL: the database cannot be used: {error}") from error

    def _consumer(self, handlers: Mapping[type[Message], Handler], parts: Parts) -> EventConsumer:
        return EventConsumer(
            bootstrap=self.settings.brokers,
            group=self.name,
            service=self.name,
            handlers=handlers,
            codec=parts.codec or Codec(RegistrySchemas(self.settings.registry_url, self.settings.service_key)),
            readiness=parts.kafka_readiness or self.readiness,
            gate=self.settings.gate(self.name, self.readiness),
        )

    def _app(self, consumer: EventConsumer, add_routes: Callable[[FastAPI], None], parts: Parts) -> FastAPI:
        app = create_app(
            service=self.name,
            authenticator=parts.authenticator or authenticator_of(self.settings, self.clock),
            readiness=self.readiness,
            metrics=self.metrics,
            consumers=[consumer],
            large_paths=parts.large_paths,
        )
        add_routes(app)
        again = dict.fromkeys(consumer.topics, consumer.again)
        letters = parts.letters or LetterBox(self.settings.brokers, self.name, again)
        add_dead_letters(app, letters, parts.record or record_of(self.settings))
        return app

    def _forget(self) -> None:
        forget_claims(self.database, self.settings.inbox_keep)
        if inspect(self.database.engine).has_table("changes"):
            ChangeLog(self.database).prune()
