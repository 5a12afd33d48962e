"""Weights of the members: by hand, against their regret bound, and over label streams that are late or wrong."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest

from modelyard_contracts.policies import AdaptivePolicy, RolloutPolicy
from modelyard_deployer.domain import hedge
from modelyard_deployer.domain.hedge import Batch, update, worst_case_rows
from modelyard_deployer.domain.votes import Vote, ballot, follow, join, leave, regret

AT = datetime(2026, 1, 1, tzinfo=UTC)
EVEN = {1: math.log(0.5), 2: math.log(0.5)}


def shares(log_weights: dict[int, float]) -> dict[int, float]:
    return {version: math.exp(weight) for version, weight in log_weights.items()}


def test_a_batch_moves_the_weights_by_its_losses() -> None:
    moved = update(EVEN, Batch(3, {1: 2.0, 2: 0.0}, 0.0), rate=0.5, share=0.0)
    assert shares(moved.log_weights) == pytest.approx({1: 1 / (1 + math.e), 2: math.e / (1 + math.e)})
    assert moved.mean_loss == 1.0


def test_each_label_returns_a_share_to_all_members() -> None:
    moved = update(EVEN, Batch(2, {1: 1000.0, 2: 0.0}, 0.0), rate=1.0, share=0.1)
    assert shares(moved.log_weights) == pytest.approx({1: 0.19 / 2, 2: 1 - 0.19 / 2})


def test_a_member_without_a_vote_keeps_its_share() -> None:
    three = {1: math.log(0.5), 2: math.log(0.3), 3: math.log(0.2)}
    moved = update(three, Batch(10, {1: 8.0, 2: 2.0}, 0.0), rate=0.1, share=0.0)
    assert shares(moved.log_weights)[3] == pytest.approx(0.2, abs=0.01)
    assert shares(moved.log_weights)[2] > 0.3


def test_of_a_draw_only_the_member_drawn_is_charged() -> None:
    moved = update(EVEN, Batch(1, {1: 2.0}, 1.0, drawn=True), rate=0.5, share=0.0)
    assert shares(moved.log_weights) == pytest.approx({1: 1 / (1 + math.e), 2: math.e / (1 + math.e)})


def test_votes_of_versions_that_left_move_nothing() -> None:
    assert update(EVEN, Batch(5, {7: 3.0}, 3.0), rate=0.5, share=0.01).log_weights == EVEN


@pytest.mark.parametrize("seed", range(20))
def test_published_weights_add_up_to_one_and_none_vanishes(seed: int) -> None:
    given = random.Random(seed)
    weights = {one: given.gauss(0, given.choice([0.1, 3, 300])) for one in range(given.randint(1, 16))}
    for floor in (0.001, 0.02, 0.5):
        found = hedge.published(weights, floor)
        assert sum(found.values()) == pytest.approx(1.0, abs=1e-12)
        assert min(found.values()) >= min(floor, math.floor(1000 / len(weights)) / 1000)


@dataclass
class Stream:
    """Losses of some members on each row, shape (members, rows), and when each label comes."""

    losses: np.ndarray
    comes: np.ndarray
    """Row number at which the label of each row is known; `rows` or more: never."""
    right: np.ndarray
    """Probability that each member gives to the class that is right."""
    seen: np.ndarray | None = None
    """Losses as the labels show them, if labels are wrong."""


def answer(stream: Stream, policy: AdaptivePolicy, every: int = 50) -> tuple[np.ndarray, Vote]:
    """Run the vote over a stream; returns the loss of the soft vote on each row, and the final state.

    Labels are read every `every` rows.
    """
    used, vote = weigh(stream, policy, every)
    return ((used * stream.right).sum(axis=0) <= 0.5).astype(float), vote


def weigh(stream: Stream, policy: AdaptivePolicy, every: int) -> tuple[np.ndarray, Vote]:
    """The weights as published on each row, shape (members, rows), and the final state of the vote."""
    members, rows = stream.losses.shape
    seen = stream.losses if stream.seen is None else stream.seen
    vote, used = Vote("m"), np.empty((members, rows))
    for number in range(members):
        vote = join(vote, number + 1, AT, policy.model_copy(update={"entry_nats": 0.0}))
    arrivals = np.argsort(stream.comes, kind="stable")
    done = 0
    for start, end in pairwise([*range(0, rows, every), rows]):
        known = int(np.searchsorted(stream.comes[arrivals], start, side="right"))
        batch = arrivals[done:known]
        done = known
        if len(batch):
            charged = seen[:, batch]
            mean = float((used[:, batch] * charged).sum())
            losses = {number + 1: float(charged[number].sum()) for number in range(members)}
            vote = follow(vote, [Batch(len(batch), losses, mean, mean)], policy, AT)
        asked = ballot(vote, 1, lambda _: True, RolloutPolicy(adaptive=policy), classifies=True)
        assert asked is not None
        used[:, start:end] = [[asked.weights[number + 1]] for number in range(members)]
    return used, vote


ROWS, DELAY = 12_000, 240
NORMAL = NormalDist()


def stream(rates: Callable[[int], Sequence[float]], seed: int = 1) -> Stream:
    """Members that are wrong with the rates of each thousand rows; every label comes DELAY rows late.

    What makes a row hard is common to the members by half, as for versions that were trained on similar rows.
    """
    given = np.random.default_rng(seed)
    limits = np.array([[NORMAL.inv_cdf(rate) for rate in rates(row // 1_000)] for row in range(ROWS)]).T
    ease = math.sqrt(0.5) * (given.normal(size=ROWS) + given.normal(size=limits.shape)) - limits
    right = 1 / (1 + np.exp(-1.7 * ease))
    return Stream((right <= 0.5).astype(float), np.arange(ROWS) + DELAY, right)


def steady(_: int) -> Sequence[float]:
    return 0.20, 0.26, 0.30


def changing(thousand: int) -> Sequence[float]:
    """The best member changes every three thousand rows."""
    best = (thousand // 3) % 3
    return tuple(0.15 if number == best else 0.35 for number in range(3))


DEFAULT = AdaptivePolicy()


def test_a_stationary_stream_costs_less_than_two_thousandths() -> None:
    """Against the best of three versions, from the moment at which the vote has seen a few labels."""
    for seed in range(5):
        given = stream(steady, seed)
        lost, _ = answer(given, DEFAULT)
        settled = slice(1_000, None)
        assert lost[settled].mean() <= given.losses[0, settled].mean() + 0.002


def test_equal_members_cost_nothing() -> None:
    for seed in range(5):
        given = stream(lambda _: (0.25, 0.25, 0.25), seed)
        lost, _ = answer(given, DEFAULT)
        assert lost.mean() <= 0.25 + 0.008  # three standard errors of the labels


def test_where_the_best_member_changes_the_vote_beats_every_single_one() -> None:
    given = stream(changing)
    lost, _ = answer(given, DEFAULT)
    best = given.losses.mean(axis=1).min()
    assert lost.mean() < best - 0.05
    assert lost.mean() < 0.15 + 0.04  # what is lost: 4 changes, each with some hundred rows until labels show it


def test_late_labels_cost_about_their_delay_per_change() -> None:
    soon, late = stream(changing), stream(changing)
    soon.comes = np.arange(ROWS) + 1
    late.comes = np.arange(ROWS) + 1_000
    lost = [answer(given, DEFAULT)[0].sum() for given in (soon, late)]
    changes, difference = 3, 0.20
    assert 0 < lost[1] - lost[0] < 1.5 * changes * 1_000 * difference


def test_weights_stay_while_labels_are_missing_and_follow_those_that_come_after_it() -> None:
    """No labels of rows 3,000 to 6,000 come at all; the best member changes at 3,000 and does not change again."""
    given = stream(lambda thousand: (0.15, 0.35, 0.35) if thousand < 3 else (0.35, 0.15, 0.35))
    given.comes[3_000:6_000] = ROWS
    lost, _ = answer(given, DEFAULT)
    assert lost[3_500:6_000].mean() == pytest.approx(0.35, abs=0.03)
    assert lost[7_500:].mean() < 0.15 + 0.02


def test_labels_that_are_wrong_for_a_while_are_forgotten() -> None:
    """The labels of rows 4,000 to 5,000 are the opposite, so the worst member looks best."""
    given = stream(steady)
    given.seen = given.losses.copy()
    given.seen[:, 4_000:5_000] = 1 - given.seen[:, 4_000:5_000]
    lost, _ = answer(given, DEFAULT)
    assert lost[:4_000].mean() < 0.22
    assert lost[6_500:].mean() < 0.20 + 0.01


def test_labels_of_one_class_alone_mislead_no_further_than_that_class() -> None:
    """Two of three labels of class a are missing. Member 1 is better on a, 2 on b, 3 is better than both on both."""
    rows_of_a = np.random.default_rng(5).random(ROWS) < 0.5
    given = stream(lambda _: (0.5, 0.5, 0.15))
    on_a, on_b = stream(lambda _: (0.2, 0.4, 0.15)), stream(lambda _: (0.4, 0.2, 0.15))
    for mine, of_a, of_b in zip(
        (given.losses, given.right), (on_a.losses, on_a.right), (on_b.losses, on_b.right), strict=True
    ):
        mine[:] = np.where(rows_of_a, of_a, of_b)
    missing = rows_of_a & (np.random.default_rng(7).random(ROWS) < 2 / 3)
    given.comes[missing] = ROWS
    lost, _ = answer(given, DEFAULT)
    assert lost[2_000:].mean() < 0.15 + 0.01


def test_members_worse_than_chance_cost_hardly_more_than_the_best_of_them() -> None:
    given = stream(lambda _: (0.55, 0.6, 0.7))
    lost, _ = answer(given, DEFAULT)
    assert lost[1_000:].mean() < given.losses[0, 1_000:].mean() + 0.01


def sequences() -> Iterator[tuple[np.ndarray, AdaptivePolicy, int]]:
    """Losses that an adversary could choose, rates, and labels outstanding at each row."""
    for seed in range(6):
        given = random.Random(seed)
        members, rows = given.choice([2, 5, 9]), 3_000
        policy = AdaptivePolicy(learning_rate=given.choice([0.02, 0.15, 0.5]), share=given.choice([0.0, 0.001, 0.01]))
        period = given.choice([7, 100, 700])
        turns = np.array([[(row // period) % members == one for row in range(rows)] for one in range(members)])
        yield 1.0 - turns, policy, given.choice([0, 3, 40])


@pytest.mark.parametrize("given", list(sequences()), ids=range(6))
def test_the_weighted_mean_stays_within_both_bounds_on_hostile_sequences(
    given: tuple[np.ndarray, AdaptivePolicy, int],
) -> None:
    """The bound of the docs, which holds before any label came, and the one that is shown live."""
    losses, policy, outstanding = given
    members, rows = losses.shape
    used, vote = weigh(Stream(losses, np.arange(rows) + 1 + outstanding, 1 - losses), policy, every=1)
    regret_rows = (used * losses).sum() - losses.sum(axis=1).min()
    bound = worst_case_rows(rows, members, policy.learning_rate, policy.share, outstanding + 1)
    rounding = rows * members * (0.0005 + 0.005) / 2  # in thousandths, and moves below 0.005 are not published
    assert regret_rows <= bound + rounding
    found = regret(vote)
    assert found is not None
    assert found.bound_rows is not None
    assert found.mean_lost_rows <= found.bound_rows + 1e-6


@pytest.mark.parametrize("seed", range(10))
def test_the_live_bound_holds_while_members_come_and_go(seed: int) -> None:
    given = random.Random(seed)
    policy = AdaptivePolicy(learning_rate=given.choice([0.05, 0.5]), share=given.choice([0.0, 0.01]))
    vote = join(Vote("m"), 1, AT, policy)
    waiting: list[Batch] = []
    for step in range(2, 80):
        if given.random() < 0.2:
            vote = join(vote, step, AT, policy)
        if len(vote.members) > 4:
            vote = leave(vote, given.choice(vote.versions), AT, "chance")
        asked = ballot(vote, vote.versions[0], lambda _: True, RolloutPolicy(adaptive=policy), classifies=True)
        weights = asked.weights if asked else {vote.versions[0]: 1.0}
        rows = given.randint(1, 30)
        losses = {one: float(given.randint(0, rows)) for one in weights}
        mean = sum(weights[one] * losses[one] for one in weights)
        waiting.append(Batch(rows, losses, mean, mean))
        while len(waiting) > given.randint(0, 5):
            vote = follow(vote, [waiting.pop(0)], policy, AT)
        found = regret(vote)
        if found is not None and found.bound_rows is not None:
            assert found.mean_lost_rows <= found.bound_rows + 1e-6


def test_counts_begin_again_when_the_learning_rate_changes() -> None:
    vote = join(join(Vote("m"), 1, AT, DEFAULT), 2, AT, DEFAULT)
    vote = follow(vote, [Batch(10, {1: 1.0, 2: 2.0}, 1.0)], DEFAULT, AT)
    again = follow(vote, [Batch(10, {1: 1.0, 2: 2.0}, 1.0)], AdaptivePolicy(learning_rate=0.3), AT)
    assert (vote.labels, again.labels, again.rate) == (10, 10, 0.3)
