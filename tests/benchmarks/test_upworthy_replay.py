"""The figures of real tests: halves share no impression, and nothing is won where there is nothing to win."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.upworthy_replay import Archive, Half, learned_lifts, read_archive, split, split_figures, thompson


def archive_of(rates: list[list[float]], n: int = 40_000) -> Archive:
    """Tests whose packages were clicked exactly at these rates."""
    counts = [len(each) for each in rates]
    flat = np.concatenate([np.array(each) for each in rates])
    return Archive(
        week=np.full(len(rates), 201_401),
        offsets=np.concatenate(([0], np.cumsum(counts))),
        impressions=np.full(len(flat), n),
        clicks=np.round(flat * n).astype(np.int64),
    )


def test_the_two_sides_of_a_split_are_the_whole_and_each_click_is_on_one_of_them() -> None:
    archive = archive_of([[0.01, 0.02, 0.5]] * 30, n=1_001)
    learn, score = split(archive, np.random.default_rng(1))
    assert (learn.impressions == 500).all()
    assert np.array_equal(learn.impressions + score.impressions, archive.impressions)
    assert np.array_equal(learn.clicks + score.clicks, archive.clicks)
    assert (score.clicks <= score.impressions).all()
    # hypergeometric: mean n/2 · p, standard deviation of a package about 0.5 · √(n p (1 − p))
    apart = learn.clicks - archive.clicks * 500 / 1_001
    assert np.abs(apart).max() < 4 * 0.5 * np.sqrt(1_001 * 0.25)
    assert np.std(apart[2::3]) == pytest.approx(0.5 * np.sqrt(1_001 * 0.25), rel=0.5)


def test_where_all_packages_are_alike_nobody_lifts_anything() -> None:
    archive = archive_of([[0.02] * 4] * 400)
    # clicks by chance: were they exactly alike, what one side has more the other would have less
    clicks = np.random.default_rng(5).binomial(archive.impressions, 0.02)
    figures = split_figures(0, replace(archive, clicks=clicks))
    # a scored rate has a standard error of 0.001 and is averaged over 400 tests
    for name in ("best_artwork_lift", "thompson_lift", "thompson_learning_lift"):
        assert figures[name] == pytest.approx(0.0, abs=0.02), name


def test_where_one_package_is_far_better_all_is_won_and_thompson_loses_little() -> None:
    figures = split_figures(0, archive_of([[0.01, 0.01, 0.04]] * 50))
    assert figures["best_artwork_lift"] == pytest.approx(1.0, abs=0.05)  # 0.04 over a mean of 0.02
    assert figures["thompson_lift"] == pytest.approx(figures["best_artwork_lift"])
    assert 0.0 < figures["thompson_learning_loss"] < 0.15


def test_the_best_package_of_the_learning_side_is_what_the_platform_learns() -> None:
    archive = archive_of([[0.01, 0.03], [0.2, 0.1]])
    lift, strength = learned_lifts(archive, Half(archive.impressions, archive.clicks))
    assert lift[1] > 0 > lift[0]
    assert lift[2] > 0 > lift[3]
    assert strength > 0


def test_thompson_sampling_shows_probabilities() -> None:
    archive = archive_of([[0.01, 0.03], [0.2, 0.1, 0.1]])
    learn, _ = split(archive, np.random.default_rng(2))
    way, last = thompson(archive, learn, 100.0, np.random.default_rng(3))
    for pmf in (way, last):
        assert np.add.reduceat(pmf, archive.offsets[:-1]) == pytest.approx(1.0)
    assert last.tolist() == [0, 1, 1, 0, 0]


def test_the_real_archive_gives_what_is_published_of_it(shared_data: Path) -> None:
    archive = read_archive(shared_data / "upworthy" / "packages.parquet")
    assert 2_480 < len(archive.week) <= 2_491
    some = archive.take(np.arange(len(archive.week)) % 10 == 0)
    assert 0.1 < split_figures(0, some)["best_artwork_lift"] < 0.25
