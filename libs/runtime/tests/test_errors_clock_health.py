"""The small pieces."""

from datetime import UTC, datetime

import pytest

from modelyard_contracts.codec import Undecodable
from modelyard_runtime.clock import FakeClock, system_clock
from modelyard_runtime.errors import Invalid, Retryable, named, retryable
from modelyard_runtime.health import Readiness
from modelyard_runtime.metrics import Metrics


@pytest.mark.parametrize(
    ("error", "is_named", "is_retryable"),
    [
        (Retryable("away"), True, True),
        (Invalid("bad"), True, False),
        (Undecodable("bytes"), True, False),
        (ValueError("a bug"), False, False),
    ],
)
def test_only_errors_that_say_so_are_named(error: Exception, is_named: bool, is_retryable: bool) -> None:
    assert (named(error), retryable(error)) == (is_named, is_retryable)


def test_the_clock_of_tests_stands_still_until_it_is_moved() -> None:
    clock = FakeClock(datetime(2026, 5, 1, tzinfo=UTC))
    assert clock() == clock()
    assert (clock.advance(90) - datetime(2026, 5, 1, tzinfo=UTC)).total_seconds() == 90
    assert system_clock().tzinfo is UTC


def test_ready_is_when_every_check_is_good() -> None:
    readiness = Readiness()
    assert readiness.ready
    readiness.set("kafka", False, "not connected")
    readiness.set("database", True)
    assert not readiness.ready
    assert readiness.as_dict() == {
        "ready": False,
        "checks": {"database": {"ok": True, "detail": ""}, "kafka": {"ok": False, "detail": "not connected"}},
    }
    readiness.forget("kafka")
    assert readiness.ready


def test_a_metric_asked_for_twice_is_one_and_bears_the_house_name() -> None:
    Metrics("toy-shop").counter("sales_total", "Sales", ("kind",)).labels("x").inc()
    Metrics("toy-shop").counter("sales_total", "Sales", ("kind",)).labels("x").inc(2)
    assert b'modelyard_toy_shop_sales_total{kind="x"} 3.0' in Metrics("toy-shop").render()
    with pytest.raises(TypeError, match="is already a Counter"):
        Metrics("toy-shop").gauge("sales_total", "Sales")
