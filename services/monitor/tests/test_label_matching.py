"""A label is compared only with a prediction that it can be about, and counts as what it is when it does not match."""

import io
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import fastavro
import pytest

from modelyard_contracts import AlertRaised, FeedbackReceived, Severity, SliceSource, SliceSummarised
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.signature import Output, Task
from modelyard_contracts.topics import schema_text, topic
from modelyard_monitor.detect.detector import Detector
from modelyard_monitor.detect.snapshot import Snapshots
from modelyard_monitor.domain.labels import Rejection, remedy
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.ingest.labels import PredictionsOnTheirWay
from modelyard_monitor.store.queries import ReportQueries
from modelyard_monitor.testing.fakes import KEYS, Sent
from modelyard_monitor.testing.samples import START, digest_of_manifest, label, make_manifest, prediction, records
from modelyard_monitor.usecases.reports import Reports

from .world import World

REGRESSION = make_manifest("price", task=Task.REGRESSION)


def yes_or_no() -> ModelManifest:
    manifest = make_manifest("m")
    output = Output(task=Task.BINARY, classes=("no", "yes"))
    signature = manifest.signature.model_copy(update={"output": output})
    return manifest.model_copy(update={"signature": signature, "reference": None})


def answered(index: int, **fields: Any) -> Any:
    """A prediction of the yes/no model."""
    return prediction(index, **{"model_digest": digest_of_manifest(yes_or_no()), "class": "yes", **fields})


def priced(index: int, value: float = 10.0, **fields: Any) -> Any:
    """A prediction of the regression under the same id."""
    of = {"model": "price", "model_digest": digest_of_manifest(REGRESSION), "class": None, "scores": ()}
    return prediction(index, **{**of, "score": value, **fields})


@pytest.fixture
def two(world: World) -> World:
    """Two models of one workspace whose callers use the order's number as prediction id; labels do not wait."""
    world.manifests.known[("m", 1)] = yes_or_no()
    world.manifests.known[("price", 1)] = REGRESSION
    world.clock.advance(11)
    return world


def stored(world: World) -> list[tuple[str, str, int | None]]:
    """(model, reason, wrong) per label, in order of arrival."""
    rows = world.clickhouse.rows("SELECT model, rejected, wrong FROM {db}.labels ORDER BY _offset")
    return [(row["model"], row["rejected"], row["wrong"]) for row in rows]


def labelled(world: World) -> list[tuple[str, str, Any]]:
    sql = "SELECT model, prediction_id, coalesce(label, toString(value)) AS truth FROM {db}.v_labelled ORDER BY 1, 2"
    return [(row["model"], row["prediction_id"], row["truth"]) for row in world.clickhouse.rows(sql)]


def slices(world: World) -> list[SliceSummarised]:
    return [m for m in world.sent.messages if isinstance(m, SliceSummarised) and m.source is SliceSource.LABELS]


async def alerts(world: World) -> list[AlertRaised]:
    sent = Sent()
    detector = Detector({}, Snapshots(lambda: KEYS), world.manifests, sent, Rules(), world.clickhouse.database)
    for offset, piece in enumerate(world.sent.messages):
        assert isinstance(piece, SliceSummarised)
        await detector.handle(piece, (0, offset))
    assert all(isinstance(one, AlertRaised) for one in sent.messages), sent.messages
    return [one for one in sent.messages if isinstance(one, AlertRaised)]


# Two models, one id


async def test_a_label_that_names_its_model_meets_only_predictions_of_it(two: World) -> None:
    await two.predictions.store(records([priced(0), answered(0)]))
    await two.labels.store(records([label(0, "yes", model="m"), label(0, None, value=12.0, model="price")]))

    assert stored(two) == [("m", "", 0), ("price", "", None)]
    assert labelled(two) == [("m", "p0", "yes"), ("price", "p0", "12")]
    assert [(one.model, one.outcomes, one.absolute_errors) for one in slices(two)] == [
        ("m", (0,), ()),
        ("price", (), (2.0,)),
    ]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_label_without_a_model_is_about_the_prediction_of_its_kind(two: World, order: tuple[int, int]) -> None:
    both = [priced(0), answered(0)]
    await two.predictions.store(records([both[place] for place in order]))
    await two.labels.store(records([label(0, "no"), label(0, None, value=12.0)]))
    assert stored(two) == [("m", "", 1), ("price", "", None)]


async def test_a_class_that_is_a_number_is_about_the_classifier_before_the_regression(two: World) -> None:
    two.manifests.known[("m", 1)] = make_manifest("m")
    await two.predictions.store(records([priced(0), prediction(0), priced(1)]))
    await two.labels.store(records([label(0, "0"), label(1, "12.5"), label(0, None, value=12.5)]))
    assert stored(two) == [("m", "", 1), ("price", "", None), ("price", "", None)]
    rows = two.clickhouse.rows("SELECT absolute_error FROM {db}.v_labelled WHERE model = 'price'")
    assert [row["absolute_error"] for row in rows] == [2.5, 2.5]


async def test_a_class_of_one_model_only_is_about_that_model(two: World) -> None:
    two.manifests.known[("other", 1)] = make_manifest("other")
    other = prediction(0, model="other", model_digest=digest_of_manifest(make_manifest("other")))
    await two.predictions.store(records([answered(0), other]))
    await two.labels.store(records([label(0, "0"), label(0, "no")]))
    assert stored(two) == [("other", "", 1), ("m", "", 1)]


async def test_a_label_that_fits_several_models_is_ambiguous_and_joined_with_none(two: World) -> None:
    two.manifests.known[("twin", 1)] = yes_or_no().model_copy(update={"model": "twin"})
    digest = digest_of_manifest(two.manifests.known[("twin", 1)])
    both = [one for i in range(60) for one in (answered(i), answered(i, model="twin", model_digest=digest))]
    await two.predictions.store(records(both))
    await two.labels.store(records([label(i, "no") for i in range(60)]))

    assert set(stored(two)) == {("m", "ambiguous", None)}
    assert labelled(two) == []
    [alert] = await alerts(two)
    assert (alert.alert, alert.model, alert.value) == ("labels_do_not_match", "m", 1.0)
    assert "name the model of each label" in alert.reason


async def test_a_named_label_waits_for_its_own_model_and_is_joined_late(two: World) -> None:
    await two.predictions.store(records([priced(0)]))
    await two.labels.store(records([label(0, "no", model="m"), label(0, None, value=11.0)]))
    assert stored(two) == [("", "", None), ("price", "", None)]
    assert await two.late.join(0) == 0

    await two.predictions.store(records([answered(0)], first=1))
    assert await two.late.join(0) == 1
    assert labelled(two) == [("m", "p0", "no"), ("price", "p0", "11")]
    assert two.is_exact("labels")


async def test_a_young_named_label_waits_although_another_model_has_its_id(two: World) -> None:
    await two.predictions.store(records([priced(0)]))
    now = two.clock()
    with pytest.raises(PredictionsOnTheirWay):
        await two.labels.store(records([label(0, "no", model="m")], at=now))


async def test_labels_of_two_models_under_one_id_are_first_labels_both(two: World) -> None:
    await two.predictions.store(records([priced(0), answered(0)]))
    await two.labels.store(records([label(0, "no", model="m")]))
    await two.labels.store(records([label(0, None, value=9.0, model="price"), label(0, "no")], first=1))
    rows = two.clickhouse.rows("SELECT repeat FROM {db}.labels ORDER BY _offset")
    assert [row["repeat"] for row in rows] == [0, 0, 1]


async def test_a_label_of_the_release_before_names_no_model(two: World) -> None:
    """Bytes of the first schema version of the topic."""
    spec = topic(FeedbackReceived.TOPIC)
    schema = fastavro.parse_schema(json.loads(schema_text(spec.name, 1)))
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, {**label(0, "no").model_dump(mode="python"), "event_id": "e"})
    old = b"\x00" + spec.schema_ids[0].to_bytes(4, "big") + out.getvalue()
    await two.predictions.store(records([answered(0)]))
    batch = records([label(1, "yes"), old])
    await two.labels.store(batch)
    assert stored(two) == [("", "", None), ("m", "", 1)]


# Labels that do not match


REJECTED = [
    (label(0, "YES"), "unknown_class"),
    (label(0, "unknown"), "unknown_class"),
    (label(0, "1"), "unknown_class"),
    (label(0, " yes"), "unknown_class"),
    (label(0, None, value=1.0), "wrong_kind"),
    (label(0, ""), "empty"),
    (label(0, None), "empty"),
]


@pytest.mark.parametrize(("bad", "reason"), REJECTED, ids=[f"{r}-{b.label!r}" for b, r in REJECTED])
async def test_a_label_outside_the_classes_is_counted_as_such_and_compared_with_nothing(
    two: World, bad: FeedbackReceived, reason: str
) -> None:
    await two.predictions.store(records([answered(0), answered(1)]))
    await two.labels.store(records([bad, label(1, "no")]))

    assert stored(two) == [("m", reason, None), ("m", "", 1)]
    assert labelled(two) == [("m", "p1", "no")]
    [one] = slices(two)
    assert (one.rows, one.outcomes, one.rejected_labels) == (1, (1,), {reason: 1})
    [health] = Reports(ReportQueries(two.clickhouse), two.unwatched).health("m", START - timedelta(days=1))
    assert (health.labelled, health.wrong, health.rejected_labels) == (1, 1, 1)


OF_A_REGRESSION = [
    (label(0, "yes"), "wrong_kind"),
    (label(0, "12,5"), "wrong_kind"),
    (label(0, "1_000"), "wrong_kind"),
    (label(0, None, value=float("nan")), "unusable_number"),
    (label(0, None, value=1e39), "unusable_number"),
    (label(0, "inf"), "unusable_number"),
    (label(0, ""), "empty"),
]


@pytest.mark.parametrize(("bad", "reason"), OF_A_REGRESSION, ids=[f"{r}-{b.label!r}" for b, r in OF_A_REGRESSION])
async def test_a_label_that_is_no_value_is_compared_with_no_value(
    two: World, bad: FeedbackReceived, reason: str
) -> None:
    await two.predictions.store(records([priced(0)]))
    await two.labels.store(records([bad]))
    assert stored(two) == [("price", reason, None)]
    assert labelled(two) == []


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
async def test_a_rejected_label_neither_overwrites_a_good_one_nor_counts_as_the_first(two: World, late: bool) -> None:
    later = START + timedelta(hours=5)
    batch = [label(0, "YES"), label(0, "no"), label(0, "NO", occurred_at=later), label(0, "", occurred_at=later)]
    if not late:
        await two.predictions.store(records([answered(0)]))
    await two.labels.store(records(batch[:1]))
    await two.labels.store(records(batch[1:], first=1))
    if late:
        await two.predictions.store(records([answered(0)]))
        assert await two.late.join(0) == 4

    assert labelled(two) == [("m", "p0", "no")]
    assert [outcome for one in slices(two) for outcome in one.outcomes] == [1]
    [health] = Reports(ReportQueries(two.clickhouse), two.unwatched).health("m", START - timedelta(days=1))
    assert (health.labelled, health.wrong, health.rejected_labels) == (1, 1, 3)


async def test_a_correction_in_time_and_a_late_first_label_count_once(two: World) -> None:
    """The first label waits for its prediction; the second one arrives after it, and before the late round."""
    await two.labels.store(records([label(0, "no")]))
    await two.predictions.store(records([answered(0)]))
    await two.labels.store(records([label(0, "no")], first=1))
    await two.late.join(0)
    assert [outcome for one in slices(two) for outcome in one.outcomes] == [1]


async def test_labels_in_upper_case_raise_one_alarm_with_the_remedy_and_no_error_rate(two: World) -> None:
    await two.predictions.store(records([answered(i, **{"class": "no"}) for i in range(600)]))
    for first in range(0, 600, 100):
        truths = [label(i, "NO" if i % 4 else "YES") for i in range(first, first + 100)]
        await two.labels.store(records(truths, first=first))

    [alert] = await alerts(two)
    assert (alert.alert, alert.severity) == ("labels_do_not_match", Severity.CRITICAL)
    assert (alert.value, alert.rows) == (1.0, 100)
    assert "'NO' 75 times, 'YES' 25 times" in alert.reason
    assert "send 'no' instead of 'NO'" in alert.reason


@pytest.mark.parametrize(
    ("rejected", "texts", "classes", "words"),
    [
        ({"unknown_class": 3}, {"1.0": 3}, ("0", "1"), "send '1' instead of '1.0'"),
        ({"unknown_class": 3}, {" Ja ": 3}, ("ja", "nein"), "send 'ja' instead of ' Ja '"),
        ({"unknown_class": 3}, {"STRASSE": 3}, ("straße",), "send 'straße'"),
        ({"unknown_class": 3}, {"maybe": 3}, ("no", "yes"), "send one of the classes 'no', 'yes', or train"),
        ({"wrong_kind": 3}, {"1.0": 3}, ("no", "yes"), "'no', 'yes' as label, not as value"),
        ({"wrong_kind": 3}, {"yes": 3}, (), "send a finite number as value"),
        ({"unusable_number": 3}, {"nan": 3}, (), "send a finite number as value"),
        ({"empty": 3, "unknown_class": 1}, {"": 3}, ("no", "yes"), "send no label while the truth is unknown"),
        ({"ambiguous": 3}, {"yes": 3}, ("no", "yes"), "name the model"),
    ],
)
def test_the_remedy_is_that_of_the_most_frequent_reason(
    rejected: Mapping[str, int], texts: Mapping[str, int], classes: tuple[str, ...], words: str
) -> None:
    assert set(rejected) <= set(Rejection)
    assert words in remedy(rejected, texts, classes)


async def test_a_few_labels_that_do_not_match_raise_no_alarm(two: World) -> None:
    await two.predictions.store(records([answered(i) for i in range(200)]))
    await two.labels.store(records([label(i, "YES" if i % 25 == 0 else "yes") for i in range(200)]))
    assert await alerts(two) == []


async def test_labels_of_an_unwatched_version_are_compared_without_its_classes(world: World) -> None:
    world.clock.advance(11)
    await world.predictions.store(records([prediction(0, model_digest="sha256:unknown")]))
    await world.labels.store(records([label(0, "anything")]))
    assert stored(world) == [("m", "", 1)]
