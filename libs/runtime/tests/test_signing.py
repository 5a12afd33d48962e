"""Signatures of events: who may sign what, what is covered, and what the files may hold."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_contracts import (
    DriftDetected,
    EvaluationFinished,
    FeedbackReceived,
    Message,
    RolloutAction,
    RolloutRequested,
    RoutePublished,
    TrainingRunRequested,
    Verdict,
)
from modelyard_contracts.documents import write
from modelyard_contracts.keyring import KeyRing
from modelyard_contracts.topics import all_topics
from modelyard_contracts.trust import PublicKey, Signer, TrustDocument
from modelyard_devstack.testing.signing import Signers
from modelyard_runtime.errors import StartupError
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka import Received
from modelyard_runtime.signing import EventSigner, NotSigned, Trust, TrustFile, public_keys_of
from modelyard_runtime.signing.files import open_signer, open_trust
from modelyard_runtime.signing.frame import HEADER, frame, parse

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SIGNERS = Signers.fresh(airflow=("training.run.requested.v1",))
TRUST = Trust(SIGNERS.document)


def verdict() -> EvaluationFinished:
    return EvaluationFinished(
        event_id=uuid4(),
        occurred_at=NOON,
        correlation_id=uuid4(),
        model="churn",
        evaluation_id=uuid4(),
        challenger_version=2,
        challenger_digest="sha256:" + "0" * 64,
        verdict=Verdict.DEPLOY,
        reasons=("better",),
    )


def run_request() -> TrainingRunRequested:
    return TrainingRunRequested(
        event_id=uuid4(), occurred_at=NOON, correlation_id=uuid4(), model="churn", requested_by="x", reason="y"
    )


def rollout_request() -> RolloutRequested:
    return RolloutRequested(
        event_id=uuid4(),
        occurred_at=NOON,
        correlation_id=uuid4(),
        model="churn",
        action=RolloutAction.START,
        version=2,
        requested_by="x",
    )


def table() -> RoutePublished:
    return RoutePublished(
        event_id=uuid4(), occurred_at=NOON, correlation_id=uuid4(), route="r", model="churn", sequence=1, salt="s"
    )


@pytest.mark.parametrize(
    ("make", "signer"),
    [
        (verdict, "evaluator"),
        (table, "deployer"),
        (rollout_request, "evaluator"),
        (run_request, "airflow"),
    ],
)
def test_events_of_their_writers_are_accepted(make: Callable[[], Message], signer: str) -> None:
    TRUST.check(SIGNERS.received(make(), signer))


@pytest.mark.parametrize(
    ("make", "signer", "problem"),
    [
        (verdict, None, "not signed by evaluator: 0 headers"),
        (verdict, "trainer", "not signed by evaluator: the trust document has no key 1 of trainer"),
        (verdict, "airflow", "has no key 1 of airflow"),
        (table, "router", "not signed by deployer"),
        (run_request, None, "a signer that the trust document names for this topic"),
        (run_request, "registry", "has no key 1 of registry"),
        (rollout_request, "airflow", "not signed by evaluator or a signer that the trust document names"),
    ],
)
def test_events_of_others_are_refused(make: Callable[[], Message], signer: str | None, problem: str) -> None:
    with pytest.raises(NotSigned, match=problem):
        TRUST.check(SIGNERS.received(make(), signer))


def changed(record: Received, **fields: object) -> Received:
    given = {
        "topic": record.topic,
        "key": record.key_bytes,
        "value": record.value,
        "headers": dict(record.headers),
        **fields,
    }
    return Received(given["topic"], 3, 77, given["key"], given["value"], given["headers"])  # type: ignore[arg-type]


def test_a_signature_holds_wherever_the_record_is_stored() -> None:
    TRUST.check(changed(SIGNERS.received(verdict(), "evaluator")))


def test_a_signature_covers_topic_key_id_and_value() -> None:
    record = SIGNERS.received(verdict(), "evaluator")
    other = SIGNERS.received(verdict(), "evaluator")
    headers = dict(record.headers)
    for forged in (
        changed(record, value=other.value),
        changed(record, value=None),
        changed(record, key=b"another-model"),
        changed(record, headers={**headers, "ce_id": str(uuid4())}),
        changed(record, headers={**headers, HEADER: other.headers[HEADER]}),
        changed(record, headers={**headers, HEADER: headers[HEADER].replace("evaluator", "deployer")}),
    ):
        with pytest.raises(NotSigned):
            TRUST.check(forged)


def test_a_signature_of_one_topic_does_not_hold_on_another() -> None:
    """The evaluator may write both topics."""
    record = SIGNERS.received(verdict(), "evaluator")
    with pytest.raises(NotSigned, match="does not fit"):
        TRUST.check(changed(record, topic=RolloutRequested.TOPIC))


@given(st.text(max_size=300))
def test_no_header_makes_the_check_raise_anything_else(text: str) -> None:
    record = changed(SIGNERS.received(verdict(), None), headers={HEADER: text})
    with pytest.raises(NotSigned):
        TRUST.check(record)


def test_two_signatures_are_refused() -> None:
    record = SIGNERS.received(verdict(), "evaluator")
    doubled = Received(record.topic, 0, 0, record.key, record.value, (*record.raw_headers, (HEADER, b"1.a.b.c")))
    with pytest.raises(NotSigned, match="2 headers"):
        TRUST.check(doubled)


def test_no_two_events_have_the_same_frame() -> None:
    assert frame("ab", b"c", "", "", "", b"") != frame("a", b"bc", "", "", "", b"")
    assert parse(b"1.evaluator.1." + b"A" * 10) is None


def test_all_events_of_the_loop_are_signed_and_the_records_of_traffic_are_not() -> None:
    unsigned = {spec.name for spec in all_topics() if not spec.signed}
    assert unsigned == {name for name in (spec.name for spec in all_topics()) if name.startswith("serving.")}
    assert DriftDetected.TOPIC not in unsigned
    label = FeedbackReceived(event_id=uuid4(), occurred_at=NOON, prediction_id="p", label="up")
    TRUST.check(SIGNERS.received(label, None))
    assert HEADER not in SIGNERS.received(label, "router").headers


def test_a_forged_event_shows_in_the_readiness_and_leaves_the_service_ready() -> None:
    readiness = Readiness()
    gate = SIGNERS.gate("router", readiness)
    with pytest.raises(NotSigned):
        gate.check(SIGNERS.received(table(), "router", offset=9))
    assert readiness.ready
    checks = readiness.as_dict()["checks"]
    assert "1 events refused" in str(checks) and "@9" in str(checks) and "not signed by deployer" in str(checks)


def test_a_key_is_replaced_while_events_of_the_old_one_are_still_read(tmp_path: Path) -> None:
    now, file = [0.0], tmp_path / "trust.json"
    old = SIGNERS.rings["evaluator"]
    new = old.with_new()
    both = TrustDocument(signers=(Signer(name="evaluator", keys=public_keys_of(new)),))
    file.write_bytes(write(SIGNERS.document))
    trust = TrustFile(file, clock=lambda: now[0])
    signed_by_old = SIGNERS.received(verdict(), "evaluator")
    later = replace(SIGNERS, rings={**SIGNERS.rings, "evaluator": new.with_current("2").only(1)})
    signed_by_new = later.received(verdict(), "evaluator")
    with pytest.raises(NotSigned, match="no key 2 of evaluator"):
        trust.trust.check(signed_by_new)
    file.write_bytes(write(both))
    now[0] = 1.5
    trust.trust.check(signed_by_new)
    trust.trust.check(signed_by_old)
    file.write_text("{")  # half a document: the last usable one stays
    now[0] = 3.0
    trust.trust.check(signed_by_new)
    file.write_bytes(write(TrustDocument(signers=(Signer(name="evaluator", keys=public_keys_of(new)[1:]),))))
    now[0] = 4.5
    with pytest.raises(NotSigned, match="no key 1 of evaluator"):
        trust.trust.check(signed_by_old)


def test_a_service_whose_events_would_be_refused_does_not_start(tmp_path: Path) -> None:
    names = SIGNERS.environment("deployer", tmp_path)
    key, trust = Path(names["MODELYARD_SIGNING_KEY_FILE"]), Path(names["MODELYARD_TRUST_FILE"])
    assert open_signer("deployer", None, None) is None
    assert isinstance(open_signer("deployer", key, trust), EventSigner)
    with pytest.raises(StartupError, match="MODELYARD_SIGNING_KEY_FILE: required with MODELYARD_TRUST_FILE"):
        open_signer("deployer", None, trust)
    with pytest.raises(StartupError, match=r"every reader would refuse the events of router.*secrets rotate"):
        open_signer("router", key, trust)
    key.write_text("1:too-short-for-a-signing-key\n")
    with pytest.raises(StartupError, match=r"MODELYARD_SIGNING_KEY_FILE.*the secret 1 is no signing key"):
        open_signer("deployer", key, trust)
    trust.write_text('{"signers": [{"name": "deployer", "keys": [{"id": "1", "key": "x"}]}]}')
    with pytest.raises(StartupError, match=r"MODELYARD_TRUST_FILE.*keys.0.key"):
        open_trust(trust)


def test_a_ring_of_random_secrets_is_a_ring_of_signing_keys() -> None:
    keys = public_keys_of(KeyRing.fresh(2))
    assert [key.id for key in keys] == ["1", "2"]
    assert all(isinstance(key, PublicKey) for key in keys)
