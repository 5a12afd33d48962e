"""Predictions are stored exactly once, counted over the reference's bins, and bad ones are isolated."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from modelyard_contracts import PredictionLogged, SliceSummarised, Vote
from modelyard_contracts.codec import DEFAULT_CODEC, encode
from modelyard_monitor.clients.registry import RegistryAway
from modelyard_monitor.domain.evidence import event_of
from modelyard_monitor.domain.findings import apply
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.domain.state import VersionState
from modelyard_monitor.store.queries import ReportQueries
from modelyard_monitor.testing.samples import START, digest_of_manifest, make_manifest, prediction, records
from modelyard_monitor.usecases.reports import Reports
from modelyard_profiles import count_numbers, reference_categories

from .world import World


async def test_a_batch_is_stored_with_its_offsets_and_counts(world: World) -> None:
    assert await world.predictions.store(records([prediction(i) for i in range(50)])) == 50

    assert world.count("predictions") == 50
    [row] = world.clickhouse.rows("SELECT min(_offset) AS a, max(_offset) AS b, any(class) AS c FROM {db}.predictions")
    assert (row["a"], row["b"], row["c"]) == (0, 49, "1")
    [counted] = world.clickhouse.rows("SELECT sum(n) AS n FROM {db}.feature_bins WHERE feature = 'a'")
    assert counted["n"] == 50


async def test_the_votes_of_an_ensemble_are_stored_in_their_order(world: World) -> None:
    votes = tuple(
        Vote(
            path=f"ensemble:{n}",
            model="elec",
            version=n,
            digest=f"sha256:{n}",
            weight=n / 10,
            class_=class_,
            score=score,
        )
        for n, class_, score in ((3, "up", 0.9), (1, None, None))
    )
    await world.predictions.store(records([prediction(0, votes=votes), prediction(1)]))

    rows = world.clickhouse.rows(
        "SELECT votes.version AS v, votes.weight AS w, votes.class AS c, votes.score AS s "
        "FROM {db}.v_predictions ORDER BY _offset"
    )
    assert [tuple(row.values()) for row in rows] == [([3, 1], [0.3, 0.1], ["up", None], [0.9, None]), ([], [], [], [])]


async def test_the_same_batch_again_changes_nothing_and_sends_the_same_slices(world: World) -> None:
    batch = records([prediction(i) for i in range(50)])
    await world.predictions.store(batch)
    await world.predictions.store(batch)

    assert world.count("predictions") == 50
    assert world.is_exact("predictions")
    [counted] = world.clickhouse.rows("SELECT sum(n) AS n FROM {db}.feature_bins WHERE feature = 'b'")
    assert counted["n"] == 50
    first, second = world.sent.messages
    assert first == second


async def test_batches_with_equal_counts_add_up(world: World) -> None:
    """Blocks of equal content under different tokens are different batches."""
    await world.predictions.store(records([prediction(0)]))
    await world.predictions.store(records([prediction(0)], first=1))

    [counted] = world.clickhouse.rows("SELECT sum(n) AS n FROM {db}.feature_bins WHERE feature = 'b'")
    assert counted["n"] == 2


async def test_a_crash_between_the_two_inserts_is_healed_by_the_repeat(world: World) -> None:
    batch = records([prediction(i) for i in range(10)])
    counted = world.predictions.count(batch)
    from modelyard_monitor.ingest.batches import token_of

    world.clickhouse.insert("predictions", counted.table, token_of(batch))
    await world.predictions.store(batch)

    assert world.count("predictions") == 10
    [row] = world.clickhouse.rows("SELECT sum(n) AS n FROM {db}.feature_bins WHERE feature = 'a'")
    assert row["n"] == 10


def forged(**fields: Any) -> PredictionLogged:
    """A record that our own classes refuse to make."""
    return prediction().model_copy(update=fields)


async def test_bad_messages_are_dead_letters_with_a_reason_and_the_good_ones_are_stored(world: World) -> None:
    good = [prediction(i) for i in range(20)]
    raw = encode(good[0])
    bad = {
        b"": "neither Confluent framing",
        raw + b"x": "1 bytes too many",
        raw[:-3]: "not an Avro body",
        b"\x00\x00\x00\x00\x02" + raw[5:]: "holds a modelyard.serving.v1.FeedbackReceived",
        b"\x00\x00\x0f\xff\xff" + raw[5:]: "not known to the schema registry",
        raw.replace(b"default", b"d\xfffault"): "not an Avro body",
        encode(prediction(prediction_id="")): "field prediction_id",
        encode(prediction(occurred_at=datetime(1970, 1, 1, tzinfo=UTC))): "field occurred_at",
        encode(forged(model_version=-1)): "field model_version",
        encode(forged(model_version=2**31)): "field model_version",
        encode(forged(model_digest="d" * 80_000)): "field model_digest",
        encode(forged(feature_schema_id="f" * 300)): "field feature_schema_id",
        encode(forged(route_sequence=2**62)): "field route_sequence",
        encode(forged(text_length=2**62)): "field text_length",
        encode(forged(cost_usd=float("nan"))): "field cost_usd",
        encode(forged(latency_ms=float("inf"))): "field latency_ms",
        b"\x00\x00\x00\x00\x01" + b"\xff" * 300: "not an Avro body",
    }
    batch = records([*good[:10], *bad, *good[10:], None])
    await world.predictions.store(batch)

    assert world.count("predictions") == 20
    offsets = [offset for offset, _ in world.letters.letters]
    assert offsets == [*range(10, 10 + len(bad)), 20 + len(bad)]
    for (_, reason), expected in zip(world.letters.letters, [*bad.values(), "tombstone"], strict=True):
        assert expected in reason


async def test_both_framings_are_read(world: World) -> None:
    alone = DEFAULT_CODEC.encode_single_object(prediction(1))
    await world.predictions.store(records([prediction(0), alone, prediction(2)]))

    rows = world.clickhouse.rows("SELECT prediction_id, _offset FROM {db}.predictions ORDER BY _offset")
    assert [row["prediction_id"] for row in rows] == ["p0", "p1", "p2"]


async def test_missing_non_finite_and_unseen_values_have_bins_of_their_own(world: World) -> None:
    odd = [
        prediction(0, num_features=(None, 0.5)),
        prediction(1, num_features=(float("nan"), 0.5)),
        prediction(2, num_features=(float("inf"), 0.5), cat_features=("never seen", "")),
        prediction(3, cat_features=(None, None)),
    ]
    await world.predictions.store(records(odd))

    rows = world.clickhouse.rows(
        "SELECT feature, bin, sum(n) AS n FROM {db}.feature_bins WHERE bin < 0 GROUP BY ALL ORDER BY feature, bin"
    )
    assert [(r["feature"], r["bin"], r["n"]) for r in rows] == [
        ("a", -2, 2),
        ("a", -1, 1),
        ("c", -3, 1),
        ("c", -1, 1),
        ("d", -1, 1),
    ]
    [message] = world.sent.messages
    assert isinstance(message, SliceSummarised)
    feature = message.features[0]
    assert (feature.name, feature.finite, feature.counts[:3]) == ("a", 1, (1, 2, 0))
    assert feature.total == pytest.approx(0.1)


async def test_counts_agree_with_the_profile_that_the_trainer_makes(world: World) -> None:
    values = np.random.default_rng(3).normal(size=300)
    await world.predictions.store(records([prediction(i, num_features=(v, 0.5)) for i, v in enumerate(values)]))

    manifest = make_manifest()
    assert manifest.reference is not None
    expected = count_numbers(values, manifest.reference.features[0].edges, np.zeros(300, dtype=bool))
    [message] = world.sent.messages
    assert isinstance(message, SliceSummarised)
    assert message.features[0].counts == tuple(expected)
    rows = world.clickhouse.rows(
        "SELECT bin, sum(n) AS n FROM {db}.feature_bins WHERE feature = 'a' GROUP BY bin ORDER BY bin"
    )
    assert [row["n"] for row in rows] == [int(n) for n in expected[3:] if n]


async def test_a_category_that_training_never_saw_a_value_of_is_counted_and_compared(world: World) -> None:
    manifest = make_manifest()
    assert manifest.reference is not None
    empty = reference_categories("c", {None: manifest.reference.rows})
    features = (*manifest.reference.features[:2], empty, manifest.reference.features[3])
    manifest = manifest.model_copy(update={"reference": manifest.reference.model_copy(update={"features": features})})
    world.manifests.known[("m", 1)] = manifest
    await world.predictions.store(records([prediction(i, model_digest=digest_of_manifest(manifest)) for i in range(3)]))
    [message] = world.sent.messages
    assert isinstance(message, SliceSummarised)
    assert message.features[2].counts == (0, 0, 3, 0)
    assert len(message.features[2].counts) == len(empty.counts)


async def test_a_version_the_registry_does_not_know_is_stored_without_counts(world: World) -> None:
    await world.predictions.store(records([prediction(0, model_version=7), prediction(1)]))

    assert world.count("predictions") == 2
    [row] = world.clickhouse.rows("SELECT uniqExact(model_version) AS n FROM {db}.feature_bins")
    assert row["n"] == 1
    assert sorted(m.model_version for m in world.sent.messages if isinstance(m, SliceSummarised)) == [1, 7]


async def test_features_that_break_the_contract_are_stored_but_not_counted(world: World) -> None:
    await world.predictions.store(records([prediction(0, num_features=(1.0, 2.0, 3.0)), prediction(1)]))

    assert world.count("predictions") == 2
    [row] = world.clickhouse.rows("SELECT sum(n) AS n FROM {db}.feature_bins WHERE feature = 'a'")
    assert row["n"] == 1


UNUSABLE: list[dict[str, Any]] = [
    {"num_features": (1.0, 2.0, 3.0)},
    {"num_features": (1.0,)},
    {"num_features": ()},
    {"cat_features": ("x",)},
    {"cat_features": ("x", "text", "more")},
    {"num_features": (), "cat_features": ()},
]


@pytest.mark.parametrize("fields", UNUSABLE, ids=str)
async def test_rows_that_break_the_signature_are_counted_reported_and_alarmed_as_such(
    world: World, fields: dict[str, Any]
) -> None:
    failed = prediction(0, status="timeout", **{**fields, "class": None, "score": None})
    usual = [prediction(i) for i in range(1, 90)]
    without: dict[str, Any] = {"num_features": (), "cat_features": ()}
    named = prediction(90, **without, features_by_name={"a": 0.1})
    usual[-1] = prediction(89, **without, sampled=False)
    broken = [prediction(i, **fields) for i in range(91, 100)]
    await world.predictions.store(records([failed, *usual, named, *broken]))

    [piece] = [m for m in world.sent.messages if isinstance(m, SliceSummarised)]
    assert (piece.rows, piece.unusable_rows) == (100, 9)
    [health] = Reports(ReportQueries(world.clickhouse), world.unwatched).health("m", START - timedelta(days=1))
    assert (health.predictions, health.unusable, health.unwatched) == (100, 9, "")
    manifest = make_manifest()
    [found] = [one for one in apply(VersionState(), piece, manifest, Rules()) if one.alert == "unusable_rows_high"]
    assert "9 of the last 100 predictions do not have the signature's number of features" in found.reason
    event = event_of(found, piece, manifest, world.clickhouse.database)
    [row] = world.clickhouse.rows(event.sql)
    assert (row["value"], row["rows"]) == (0.09, 100)


async def test_rows_with_features_by_name_are_counted_beside_positional_ones(world: World) -> None:
    """What is counted must not depend on which rows share a batch."""
    named = {"num_features": (), "cat_features": (), "features_by_name": {"b": 0.3, "a": float("nan")}}
    await world.predictions.store(records([prediction(0), prediction(1, **named), prediction(2)]))

    rows = world.clickhouse.rows(
        "SELECT feature, sum(n) AS rows, sumIf(n, bin = -2) AS bad FROM {db}.feature_bins "
        "WHERE feature IN ('a', 'b') GROUP BY feature ORDER BY feature"
    )
    assert [(row["feature"], row["rows"], row["bad"]) for row in rows] == [("a", 3, 1), ("b", 3, 0)]


async def test_the_same_bytes_registered_as_two_versions_both_have_their_profile(world: World) -> None:
    world.manifests.known[("m", 2)] = make_manifest()
    await world.predictions.store(records([prediction(0), prediction(1, model_version=2)]))
    rows = world.clickhouse.rows("SELECT DISTINCT model_version AS v FROM {db}.reference_bins ORDER BY v")
    assert [row["v"] for row in rows] == [1, 2]


@pytest.mark.parametrize("timestamp_ms", [-1, 0, 2**62])
async def test_a_record_without_a_sane_kafka_timestamp_is_dated_by_its_event(world: World, timestamp_ms: int) -> None:
    """By that date the tables forget: one of 1970 would be gone at once."""
    [record] = records([prediction(0)])
    record.timestamp_ms = timestamp_ms
    await world.predictions.store([record])
    [row] = world.clickhouse.rows("SELECT received_at FROM {db}.predictions")
    assert row["received_at"].replace(tzinfo=UTC) == START


async def test_values_whose_sum_overflows_leave_no_mean(world: World) -> None:
    """A mean of 0 would look like a shift."""
    await world.predictions.store(records([prediction(i, num_features=(1.7e308, 0.5)) for i in range(2)]))
    [message] = world.sent.messages
    assert isinstance(message, SliceSummarised)
    huge, usual = message.features[:2]
    assert (sum(huge.counts), huge.finite, huge.total, huge.total_squares) == (2, 0, 0.0, 0.0)
    assert (usual.finite, usual.total) == (2, 1.0)


async def test_a_batch_of_many_models_is_split_into_each_models_rows_in_their_order(world: World) -> None:
    rows = [prediction(i, model=f"m{i % 7}", latency_ms=float(i)) for i in range(70)]
    await world.predictions.store(records(rows))
    found = [m for m in world.sent.messages if isinstance(m, SliceSummarised)]
    assert [(m.model, m.rows) for m in found] == [(f"m{i}", 10) for i in range(7)]
    assert [m.latency_ms_max for m in found] == [float(63 + i) for i in range(7)]
    assert [m.window_start for m in found] == [rows[i].occurred_at for i in range(7)]


async def test_slices_of_a_batch_are_sent_concurrently(world: World) -> None:
    """One acknowledgement after the other would take a batch of a thousand models many seconds."""
    together = asyncio.Barrier(3)

    async def send(message: object, key: str | None = None) -> None:
        await together.wait()

    world.sent.send = send  # type: ignore[method-assign]
    batch = records([prediction(i, variant=f"v{i}") for i in range(3)])
    await asyncio.wait_for(world.predictions.store(batch), 20)


async def test_long_names_of_classes_do_not_make_a_slice_too_large_for_its_topic(world: World) -> None:
    await world.predictions.store(records([prediction(i, **{"class": f"{i}" * 20_000}) for i in range(60)]))
    [message] = world.sent.messages
    assert len(encode(message)) < 10_000
    assert world.count("predictions") == 60


async def test_features_by_name_serve_where_there_is_no_contract(world: World) -> None:
    await world.predictions.store(
        records([prediction(0, num_features=(), cat_features=(), features_by_name={"a": 0.3})])
    )

    rows = world.clickhouse.rows(
        "SELECT feature, bin FROM {db}.feature_bins WHERE feature IN ('a','b') ORDER BY feature"
    )
    assert [(row["feature"], row["bin"] >= 0) for row in rows] == [("a", True), ("b", False)]


async def test_while_the_registry_is_away_nothing_is_stored(world: World) -> None:
    world.manifests.error = RegistryAway("away")
    with pytest.raises(RegistryAway):
        await world.predictions.store(records([prediction(0)]))
    assert world.count("predictions") == 0

    world.manifests.error = None
    await world.predictions.store(records([prediction(0)]))
    assert world.count("predictions") == 1


async def test_slices_are_split_by_version_and_variant(world: World) -> None:
    world.manifests.known[("m", 2)] = make_manifest(seed=1)
    other = digest_of_manifest(make_manifest(seed=1))
    batch = [prediction(i, model_version=1 + i % 2, model_digest=other) if i % 2 else prediction(i) for i in range(10)]
    nothing = {"class": None, "score": None, "scores": ()}
    batch += [
        prediction(10 + i, variant="canary", status=one, **nothing) for i, one in enumerate(("timeout", "rejected"))
    ]
    await world.predictions.store(records(batch))

    found = [m for m in world.sent.messages if isinstance(m, SliceSummarised)]
    assert [(m.model_version, m.variant, m.rows, m.errors) for m in found] == [
        (1, "stable", 5, 0),
        (2, "stable", 5, 0),
        (1, "canary", 2, 1),
    ]
    assert found[0].class_counts == {"1": 5}
    assert found[0].occurred_at == START


async def test_psi_in_sql_agrees_with_a_hand_count(world: World) -> None:
    await world.predictions.store(records([prediction(i, num_features=(9.0, 0.5)) for i in range(100)]))

    [row] = world.clickhouse.rows("SELECT rows, psi, reference_rows FROM {db}.v_drift_psi WHERE feature = 'a'")
    manifest = make_manifest()
    assert manifest.reference is not None
    reference = np.array(manifest.reference.features[0].counts[3:])
    current = np.zeros_like(reference)
    current[-1] = 100
    p = (reference + 0.5) / (reference.sum() + 0.5 * reference.size)
    q = (current + 0.5) / (100 + 0.5 * reference.size)
    assert (row["rows"], row["reference_rows"]) == (100, 4_000)
    assert row["psi"] == pytest.approx(float(((q - p) * np.log(q / p)).sum()))


def test_a_batch_is_named_by_its_place() -> None:
    from modelyard_monitor.ingest.batches import covers_of, token_of

    batch = records([prediction(i) for i in range(3)], first=7, partition=2)
    assert token_of(batch) == "v1:serving.prediction.logged.v1:2:7:9"
    assert covers_of(batch).last_offset == 9
