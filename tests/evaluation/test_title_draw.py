"""A title that does not draw as it says is found and named; sticky, changing and sparse logs are left alone."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from evaluation.evaluation import evaluate
from evaluation.gate import Ruling, judge
from evaluation.gate_check import Case, GateRules, sample_ratio
from evaluation.keyed_totals import Grouping, KeyedTotals
from evaluation.log_check import N_COLUMNS, draw_columns, draw_tests
from evaluation.record import Evaluation, decode_evaluation, encode
from evaluation.title_draw import TitleDraws, TitleTest
from models.batch import Batch, LoggedBatch
from models.draw import draw, mix
from models.layout import ARTWORK, SHARED, TASTES
from models.policy import UniformPolicy
from tests.evaluation.world import TasteFirst, log_of, split

N_TITLES, N_ARTWORKS = 200, 5
Choose = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]
"""Which places of `N_ARTWORKS` are candidates, `(n, N_ARTWORKS)`, of titles and epochs `(n,)`."""


def everything(rng: np.random.Generator, title: np.ndarray, epoch: np.ndarray) -> np.ndarray:
    return np.ones((len(title), N_ARTWORKS), dtype=bool)


def launches_and_countries(rng: np.random.Generator, title: np.ndarray, epoch: np.ndarray) -> np.ndarray:
    """The last artwork comes on day 2; a third of the decisions may not see one of the title's, and some see one."""
    allowed = everything(rng, title, epoch)
    allowed[:, -1] = epoch >= 2
    strict = rng.random(len(title)) < 0.3
    allowed[strict, (title[strict] % (N_ARTWORKS - 1))] = False
    alone = rng.random(len(title)) < 0.02
    allowed[alone] = np.arange(N_ARTWORKS) == 0
    return allowed


def log(
    seed: int,
    n: int = 20_000,
    *,
    n_titles: int = N_TITLES,
    n_profiles: int = 1_500,
    n_repeats: int = 1,
    choose: Choose = everything,
    skewed: dict[int, int] | None = None,
    shunned: float = 0.0,
) -> LoggedBatch:
    """Draw as the scorer does, keyed by profile, title and day; each draw is met `n_repeats` times.

    A title of `skewed` shows the artwork at that place in only a share `shunned` of what it was drawn for, and the next
    one instead.
    """
    rng = np.random.default_rng(seed)
    profile, title, epoch = rng.integers(n_profiles, size=n), rng.integers(n_titles, size=n), rng.integers(4, size=n)
    allowed = choose(rng, title, epoch)
    profile, title, epoch, allowed = (np.repeat(each, n_repeats, axis=0) for each in (profile, title, epoch, allowed))
    order = rng.permutation(len(profile))
    profile, title, epoch, allowed = profile[order], title[order], epoch[order], allowed[order]
    owner, place = np.nonzero(allowed)
    offsets = np.concatenate(([0], np.cumsum(allowed.sum(axis=1))))
    shared = np.zeros((len(profile), len(SHARED)), dtype=np.float32)
    shared[np.arange(len(profile)), profile % len(TASTES)] = 1.0
    artworks = np.zeros((len(owner), len(ARTWORK)), dtype=np.float32)
    artworks[np.arange(len(owner)), (title[owner] + place) % len(TASTES)] = 1.0
    batch = Batch(
        offsets=offsets,
        profile_keys=mix((profile + 10_000 * seed).astype(np.uint64) + np.uint64(1)),
        title_keys=mix(title.astype(np.uint64) + np.uint64(10**9)),
        artwork_keys=mix((title[owner] * 100 + place).astype(np.uint64) + np.uint64(2 * 10**9)),
        shared=shared,
        artworks=artworks,
    )
    keys = (batch.profile_keys, batch.title_keys, batch.artwork_keys, epoch.astype(np.uint64))
    chosen = draw(np.repeat(1 / batch.counts, batch.counts), offsets, *keys)
    for faulty, least in (skewed or {}).items():
        hit = (title == faulty) & (place[chosen] == least) & (mix(batch.profile_keys) / 2.0**64 >= shunned)
        chosen[hit] = np.where(chosen[hit] + 1 < offsets[1:][hit], chosen[hit] + 1, offsets[:-1][hit])
    reward = (rng.random(len(profile)) < 0.2).astype(np.float64)
    return replace(
        log_of(batch, chosen, 1 / batch.counts, reward),
        epoch=epoch,
        title_ids=np.array([f"title-{each}" for each in title], dtype=object),
        artwork_ids=np.array([f"art-{title[at]}-{each}" for at, each in zip(owner, place, strict=True)], dtype=object),
    )


def title_test(logged: LoggedBatch, size: int = 10**9, **options: int) -> TitleTest:
    draws = TitleDraws(**options)
    for batch in split(logged, size):
        draws.add(batch)
    return draws.test()


def found(logged: LoggedBatch) -> Evaluation:
    policies = {"uniform": UniformPolicy(), "taste": TasteFirst(0.2)}
    return evaluate(policies, lambda: split(logged, 7_000), champion="uniform")


def pooled_p(evaluation: Evaluation) -> float:
    assert evaluation.sample_ratio.p_value is not None
    return evaluation.sample_ratio.p_value


def test_a_few_titles_skewed_in_different_positions_are_held_and_the_worst_is_named() -> None:
    """Two or three per cent of the titles, each in another place: over all titles positions balance."""
    evaluation = found(log(1, 30_000, skewed={7: 0, 42: 1, 93: 2, 121: 3, 180: 4}, shunned=0.1))
    assert pooled_p(evaluation) > 0.001 / 3
    verdict = judge(evaluation, "taste", GateRules())
    assert verdict.decision is Ruling.HOLD
    assert [check.name for check in verdict.checks if not check.passed] == ["sample_ratio"]
    worst = evaluation.title_ratio.worst  # type: ignore[union-attr]
    assert worst is not None
    assert worst.title in {"title-7", "title-42", "title-93", "title-121", "title-180"}
    assert f"title {worst.title}, whose artwork {worst.artwork} has a share of {worst.share:.3f} of " in verdict.reason
    assert "draws in the uniform cell where 0.200 is expected: p = " in verdict.reason


def test_one_title_that_never_shows_one_of_its_artworks_is_held_and_both_are_named() -> None:
    evaluation = found(log(2, 20_000, skewed={42: 3}))
    assert pooled_p(evaluation) > 0.05
    verdict = judge(evaluation, "taste", GateRules())
    assert verdict.decision is Ruling.HOLD
    assert "title title-42, whose artwork art-42-3 has a share of 0.000 of " in verdict.reason


def test_many_titles_a_little_skewed_are_held_together() -> None:
    evaluation = found(log(3, 40_000, skewed={title: title % N_ARTWORKS for title in range(N_TITLES)}, shunned=0.7))
    assert evaluation.title_ratio is not None
    assert evaluation.title_ratio.p_one is not None
    assert evaluation.title_ratio.p_one > 0.001 / 3
    verdict = judge(evaluation, "taste", GateRules())
    assert verdict.decision is Ruling.HOLD
    assert "artworks of single titles there disagree with the draw together: p = " in verdict.reason
    assert "; most against it has title title-" in verdict.reason


@pytest.mark.slow
def test_a_sound_log_of_sticky_repeats_is_held_no_oftener_than_the_level() -> None:
    """All three tests of the check together, with lists that change, at a level that few runs can tell."""
    base, rules, n_runs = found(log(4, 3_000)), GateRules(check_alpha=0.05), 400
    held = np.zeros(2)
    for run in range(n_runs):
        for kind, choose in enumerate((everything, launches_and_countries)):
            logged = log(10 + run, 500, n_titles=20, n_profiles=150, n_repeats=6, choose=choose)
            totals, grouping = KeyedTotals(N_COLUMNS), Grouping.of(logged.batch.profile_keys)
            totals.add(grouping, grouping.sums(draw_columns(logged)))
            pooled, _ = draw_tests(totals.sums, len(logged), len(logged))
            one = msgspec.structs.replace(base, sample_ratio=pooled, title_ratio=title_test(logged))
            held[kind] += not sample_ratio(Case(one, base.comparison("taste"), rules)).passed
    # four standard errors of 400 runs at 0.05 are 0.044
    assert (held / n_runs < 0.05 + 0.044).all()


def test_a_draw_that_is_met_again_and_again_counts_once() -> None:
    logged = log(5, 3_000, n_repeats=8)
    once = title_test(logged)
    assert logged.epoch is not None
    batch = logged.batch
    keys = np.stack((batch.profile_keys, batch.title_keys, logged.epoch.astype(np.uint64)))
    assert once.n_draws == np.unique(keys, axis=1).shape[1]
    assert once.p_many is not None
    assert once.p_many > 0.001
    as_new = title_test(replace(logged, epoch=np.arange(len(logged))))
    assert as_new.n_draws == len(logged)
    assert as_new.p_many is not None
    assert as_new.p_many < 1e-9


def test_without_epochs_a_profile_draws_once_for_a_title() -> None:
    logged = replace(log(6, 3_000), epoch=None)
    pairs = np.unique(np.stack((logged.batch.profile_keys, logged.batch.title_keys)), axis=1)
    assert title_test(logged).n_draws == pairs.shape[1]


def test_the_same_is_found_however_the_log_is_cut() -> None:
    logged = log(7, 4_000, n_repeats=2, choose=launches_and_countries, skewed={3: 1})
    whole = title_test(logged)
    assert title_test(logged, 97) == title_test(logged, 1_000) == whole
    unnamed = title_test(replace(logged, title_ids=None, artwork_ids=None))
    assert (unnamed.p_one, unnamed.p_many, unnamed.n_draws) == (whole.p_one, whole.p_many, whole.n_draws)


def test_of_more_draws_than_are_kept_a_random_sample_decides() -> None:
    faulty, sound = log(8, 30_000, n_titles=20, skewed={3: 1}), log(8, 30_000, n_titles=20)
    sampled = title_test(faulty, max_draws=4_096)
    for each in (sampled, title_test(faulty, 500, max_draws=4_096)):
        assert each == sampled
        assert sampled.n_draws == 4_096
        assert sampled.worst is not None
        assert (sampled.worst.title, sampled.worst.artwork, sampled.worst.share) == ("title-3", "art-3-1", 0.0)
        assert sampled.p_one is not None
        assert sampled.p_one < 1e-6
        assert 150 < sampled.worst.n_draws < 260  # a twentieth of 4,096, give or take four standard errors
    rest = title_test(sound, 500, max_draws=4_096)
    assert rest.p_many is not None
    assert rest.p_many > 0.001


def test_lists_that_change_are_expected_by_their_own_candidates() -> None:
    """An artwork that came late, or that some may not see, is shown less often, and no fault."""
    sound = title_test(log(9, 30_000, choose=launches_and_countries))
    assert sound.p_one is not None
    assert sound.p_many is not None
    assert min(sound.p_one, sound.p_many) > 0.001
    faulty = title_test(log(9, 30_000, choose=launches_and_countries, skewed={42: 2}))
    assert faulty.p_one is not None
    assert faulty.p_one < 0.001 / 3
    assert faulty.worst is not None
    assert (faulty.worst.title, faulty.worst.artwork, faulty.worst.share) == ("title-42", "art-42-2", 0.0)
    assert 0.2 < faulty.worst.expected < 0.35


def test_titles_with_few_draws_raise_no_alarm_and_say_so() -> None:
    few = title_test(log(11, 300, n_titles=200))
    assert few.n_titles < 200
    assert few.p_one is not None
    assert few.p_many is not None
    assert min(few.p_one, few.p_many) > 0.01
    assert title_test(log(12, 1)).p_many == 1.0


def test_live_decisions_fallbacks_and_lists_of_one_are_left_out() -> None:
    logged = log(13, 500)
    live = replace(logged, cell=np.full(len(logged), "live", dtype=object))
    fallback = replace(logged, propensity=np.ones(len(logged)))
    alone = log(13, 500, choose=lambda rng, title, epoch: everything(rng, title, epoch) & (np.arange(N_ARTWORKS) < 1))
    for nothing in (live, fallback, alone):
        assert title_test(nothing) == TitleTest(0, 0)


def test_a_record_from_before_titles_were_tested_can_be_read() -> None:
    evaluation = found(log(14, 1_000))
    assert decode_evaluation(encode(evaluation)) == evaluation
    plain = msgspec.json.decode(encode(evaluation))
    del plain["title_ratio"]
    old = decode_evaluation(msgspec.json.encode(plain))
    assert old.title_ratio is None
    check = sample_ratio(Case(old, old.comparison("taste"), GateRules()))
    assert check.passed
    assert "artworks of single titles there: not tested" in check.detail


@pytest.mark.parametrize("name", ["epoch", "title_ids", "artwork_ids"])
def test_columns_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must have shape"):
        replace(log(15, 10), **{name: np.zeros(3, dtype=np.int64)})
