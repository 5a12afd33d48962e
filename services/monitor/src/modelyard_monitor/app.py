"""Composition root: reads the settings, constructs all parts, closes them in reverse order."""

from typing import Final

from modelyard_contracts import FeedbackReceived, GenerationLogged, PredictionLogged, SliceSummarised
from modelyard_contracts.codec import Codec
from modelyard_monitor.api.lookups import Lookups, add_lookups
from modelyard_monitor.api.routes import add_routes
from modelyard_monitor.clients.registry import Registry
from modelyard_monitor.detect.supervisor import DetectProcess
from modelyard_monitor.domain.watching import Unwatched
from modelyard_monitor.ingest.batches import PartitionLocks
from modelyard_monitor.ingest.control_events import ControlEventIngest, control_topics
from modelyard_monitor.ingest.counter import Counter
from modelyard_monitor.ingest.exactly_once import ExactlyOnceIngest, Store
from modelyard_monitor.ingest.generations import GenerationIngest
from modelyard_monitor.ingest.labels import LabelIngest
from modelyard_monitor.ingest.late_labels import LateJoiner
from modelyard_monitor.ingest.late_loop import LateLoop
from modelyard_monitor.ingest.predictions import PredictionIngest
from modelyard_monitor.settings import Settings
from modelyard_monitor.store.alarm_queries import AlarmQueries
from modelyard_monitor.store.alert_queries import AlertQueries
from modelyard_monitor.store.bin_queries import BinQueries
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.connection import LazyClient
from modelyard_monitor.store.label_queries import LabelQueries
from modelyard_monitor.store.prediction_queries import PredictionQueries
from modelyard_monitor.store.queries import ReportQueries
from modelyard_monitor.store.startup import migrate_when_available
from modelyard_monitor.store.timeline_queries import TimelineQueries
from modelyard_monitor.store.traffic_queries import TrafficQueries
from modelyard_monitor.store.unseen_queries import UnseenQueries
from modelyard_monitor.store.vote_queries import VoteQueries
from modelyard_monitor.usecases.alarms import Alarms
from modelyard_monitor.usecases.alerts import Alerts
from modelyard_monitor.usecases.bins import Bins
from modelyard_monitor.usecases.predictions import Predictions
from modelyard_monitor.usecases.rejected_labels import LabelsThatDoNotMatch
from modelyard_monitor.usecases.reports import Reports
from modelyard_monitor.usecases.timelines import Timelines
from modelyard_monitor.usecases.traffic import Traffic
from modelyard_monitor.usecases.unseen_values import UnseenValues
from modelyard_monitor.usecases.votes import Votes
from modelyard_runtime.assembly import authenticator_of, record_of
from modelyard_runtime.changes import MemoryChanges
from modelyard_runtime.clock import system_clock
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app
from modelyard_runtime.http.dead_letters import add_dead_letters
from modelyard_runtime.kafka import DeadLetters, LetterBox, Producer, Received
from modelyard_runtime.kafka.letter_box import Again
from modelyard_runtime.schemas import RegistrySchemas
from modelyard_runtime.service import Background, Service

LABELS_GROUP: Final = "monitor.labels"
EVENTS_GROUP: Final = "monitor.audit"
RETRY_S: Final = 0.2
RETRY_LABELS_S: Final = 1.0


class _Monitor:
    """All parts of the service; nothing is connected before the service runs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.readiness = Readiness()
        password = settings.clickhouse_password.get_secret_value()
        client = LazyClient(settings.clickhouse_url, settings.clickhouse_user, password)
        self.clickhouse = ClickHouse(client, settings.clickhouse_database)
        self.unwatched = Unwatched()
        self.changes = MemoryChanges()
        self.reports = Reports(ReportQueries(self.clickhouse), self.unwatched)
        self.votes = Votes(VoteQueries(self.clickhouse))
        self.alarms = Alarms(
            AlarmQueries(self.clickhouse),
            system_clock,
            expire_days=settings.alarm_days,
            window_labels=settings.error_window_labels,
        )
        self.label_locks = PartitionLocks()
        self.registry = Registry(settings.registry_url, settings.service_key)
        self.producer = Producer(settings.brokers, "monitor", linger_ms=5, signer=settings.signer("monitor"))
        self.letters = DeadLetters(settings.brokers, "monitor")
        self.ingests = {group: self._ingest(group, stores) for group, stores in self._stores().items()}

    def service(self) -> Service:
        settings = self.settings
        app = create_app(
            service="monitor",
            authenticator=authenticator_of(settings),
            readiness=self.readiness,
            consumers=[one.consumer for one in self.ingests.values() if "ingest" in settings.roles],
        )
        if "api" in settings.roles:
            consumers = tuple(self.ingests.values())
            add_routes(app, self.reports, self.votes, self.alarms, self.unwatched, consumers, self.changes)
            add_lookups(app, self._lookups())
            add_dead_letters(app, self._letter_box(), record_of(settings))
        background = self._background()
        return Service("monitor", settings, app, background, self._on_start, self._on_stop, self.readiness)

    def _letter_box(self) -> LetterBox:
        """Control events can be stored one by one; rows of traffic cannot, their offsets are stored in order."""
        stores = self.ingests[EVENTS_GROUP].stores

        def again(store: Store) -> Again:
            async def stored(record: Received) -> None:
                await store([record])

            return stored

        one_by_one = {topic: again(store) for topic, store in stores.items()}
        topics = (*(topic for one in self.ingests.values() for topic in one.stores), SliceSummarised.TOPIC)
        return LetterBox(self.settings.brokers, "monitor", {**dict.fromkeys(topics), **one_by_one})

    def _lookups(self) -> Lookups:
        return Lookups(
            Traffic(TrafficQueries(self.clickhouse), system_clock),
            Alerts(AlertQueries(self.clickhouse)),
            Predictions(PredictionQueries(self.clickhouse), self.registry),
            Bins(BinQueries(self.clickhouse), system_clock),
            Timelines(
                TimelineQueries(self.clickhouse),
                self.reports,
                UnseenValues(UnseenQueries(self.clickhouse), self.registry),
            ),
            LabelsThatDoNotMatch(LabelQueries(self.clickhouse), self.registry),
            system_clock,
        )

    def _stores(self) -> dict[str, dict[str, Store]]:
        """Return {consumer group: {topic: store}}; a group per kind of topic, so that none waits for another."""
        codec = Codec(RegistrySchemas(self.settings.registry_url, self.settings.service_key))
        counter = Counter(self.clickhouse, self.registry, self.unwatched, self.readiness)
        predictions = PredictionIngest(self.clickhouse, counter, codec, self.producer, self.letters)
        labels = LabelIngest(
            self.clickhouse,
            self.registry,
            codec,
            self.producer,
            self.letters,
            self.label_locks,
            system_clock,
            self.settings.label_grace_s,
        )
        gate = self.settings.gate("monitor", self.readiness)
        events = ControlEventIngest(self.clickhouse, codec, self.letters, self.changes, gate)
        return {
            "monitor.ingest": {
                PredictionLogged.TOPIC: predictions.store,
                GenerationLogged.TOPIC: GenerationIngest(self.clickhouse, codec, self.letters).store,
            },
            LABELS_GROUP: {FeedbackReceived.TOPIC: labels.store},
            EVENTS_GROUP: dict.fromkeys(control_topics(), events.store),
        }

    def _ingest(self, group: str, stores: dict[str, Store]) -> ExactlyOnceIngest:
        # Most labels arrive before their prediction is stored, which takes up to a flush: retrying sooner is wasted.
        retry_labels_s = min(self.settings.flush_s / 2, RETRY_LABELS_S)
        return ExactlyOnceIngest(
            settings=self.settings,
            group=group,
            stores=stores,
            dead_letters=self.letters,
            readiness=self.readiness,
            retry_min_s=retry_labels_s if group == LABELS_GROUP else RETRY_S,
        )

    def _background(self) -> list[Background]:
        background: list[Background] = []
        if "ingest" in self.settings.roles:
            days = self.settings.late_join_days
            joiner = LateJoiner(self.clickhouse, self.registry, self.producer, self.label_locks, days)
            background += [one.run for one in self.ingests.values()]
            background.append(LateLoop(joiner, self._label_partitions, self.settings.late_join_every_s).run)
        if "detect" in self.settings.roles:
            background.append(DetectProcess(self.readiness).run)
        return background

    def _label_partitions(self) -> set[int]:
        return {partition for _, partition in self.ingests[LABELS_GROUP].consumer.assignment()}

    async def _on_start(self) -> None:
        await migrate_when_available(self.clickhouse, self.settings.clickhouse_url)

    async def _on_stop(self) -> None:
        await self.letters.close()
        await self.producer.stop()
        self.registry.close()
        self.clickhouse.close()


def build(settings: Settings) -> Service:
    """Return the whole service, wired."""
    return _Monitor(settings).service()
