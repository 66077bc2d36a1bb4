"""What every feature vector must be: finite, bounded, zero where nothing is known, and pointing the right way."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.layout import ARTWORK, DEVICES, FAMILIARITY, PROFILE, TASTES, TITLE
from models.vector import (
    LIMIT,
    artwork_vectors,
    familiarity_vectors,
    profile_vectors,
    smoothed_fraction,
    title_vectors,
)

N = 4
amounts = st.floats(0, 1e12)
columns = arrays(np.float64, N, elements=amounts)
fractions = arrays(np.float64, N, elements=st.floats(1e-6, 1 - 1e-6))


def check(vectors: np.ndarray, width: int) -> None:
    assert vectors.shape == (N, width)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert np.abs(vectors).max() <= LIMIT


@given(arrays(np.float64, (N, len(TASTES)), elements=amounts), columns, columns, columns, columns)
def test_profile_vectors_are_finite_and_bounded_whatever_was_counted(taste, seen, plays, quality, tenure):
    devices = np.tile(seen[:, None], len(DEVICES))
    vectors = profile_vectors(
        taste_minutes=taste,
        n_impressions=seen,
        n_plays=plays,
        n_quality_plays=np.minimum(quality, plays),
        tenure_days=tenure,
        n_by_device=devices,
    )
    check(vectors, len(PROFILE))


@given(columns, columns, columns, fractions, fractions)
def test_title_and_artwork_vectors_are_finite_and_bounded_whatever_was_counted(age, seen, takes, fraction, above):
    about = np.eye(len(TASTES))[:N]
    titles = title_vectors(
        about=about,
        age_days=age,
        n_impressions=seen,
        n_takes=np.minimum(takes, seen),
        n_artworks=seen,
        overall=above[0],
    )
    check(titles, len(TITLE))
    artworks = artwork_vectors(
        style=about,
        take_fraction=fraction,
        title_take_fraction=above,
        n_impressions=seen,
        age_days=age,
        is_default=seen > 0,
    )
    check(artworks, len(ARTWORK))


def test_what_nothing_is_known_of_is_zeros():
    zeros = np.zeros(N)
    cold = profile_vectors(
        taste_minutes=np.zeros((N, len(TASTES))),
        n_impressions=zeros,
        n_plays=zeros,
        n_quality_plays=zeros,
        tenure_days=zeros,
        n_by_device=np.zeros((N, len(DEVICES))),
    )
    assert not cold.any()
    about = np.zeros((N, len(TASTES)))
    assert not title_vectors(
        about=about, age_days=zeros, n_impressions=zeros, n_takes=zeros, n_artworks=zeros, overall=0.1
    ).any()
    fraction = smoothed_fraction(zeros, zeros, 0.1)
    assert not artwork_vectors(
        style=about,
        take_fraction=fraction,
        title_take_fraction=fraction,
        n_impressions=zeros,
        age_days=zeros,
        is_default=zeros,
    ).any()


def test_a_taste_points_where_the_minutes_do_and_grows_longer_with_them():
    minutes = np.zeros((3, len(TASTES)))
    minutes[:, 2] = (3.0, 30.0, 3000.0)
    minutes[:, 5] = (4.0, 40.0, 4000.0)
    ones = np.ones(3)
    taste = profile_vectors(
        taste_minutes=minutes,
        n_impressions=ones,
        n_plays=ones,
        n_quality_plays=ones,
        tenure_days=ones,
        n_by_device=np.zeros((3, len(DEVICES))),
    )[:, : len(TASTES)]
    length = np.linalg.norm(taste, axis=1)
    np.testing.assert_allclose(taste[:, 2] / length, 0.6, rtol=1e-6)
    np.testing.assert_allclose(taste[:, 5] / length, 0.8, rtol=1e-6)
    assert (np.diff(length) > 0).all()
    np.testing.assert_allclose(length[2], 1.0, atol=1e-6)


def test_a_better_artwork_has_a_positive_lift_and_a_worse_one_a_negative():
    seen, takes = np.array([1000.0, 1000.0, 10.0]), np.array([200.0, 50.0, 2.0])
    fraction = smoothed_fraction(takes, seen, 0.1)
    lift = artwork_vectors(
        style=np.zeros((3, len(TASTES))),
        take_fraction=fraction,
        title_take_fraction=np.full(3, 0.1),
        n_impressions=seen,
        age_days=seen,
        is_default=seen,
    )[:, ARTWORK.index("take_lift")]
    assert lift[0] > lift[2] > 0 > lift[1], "few impressions say less than many"


@given(arrays(np.bool_, N), arrays(np.float32, N, elements=st.floats(0, 1e6, width=32)))
def test_familiarity_says_nothing_of_titles_never_met(met, amount):
    vectors = familiarity_vectors(met, amount, amount)
    assert vectors.shape == (N, len(FAMILIARITY))
    assert not vectors[~met].any()
    assert (vectors[met, 0] == 1).all()
