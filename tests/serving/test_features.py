from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.error import ContractError
from models.identity import hash64, keys_of
from models.layout import PROFILE
from serving.catalogue_index import microseconds
from serving.features import InMemoryFeatures, ProfileFeatures, familiarity_matrix, familiarity_of_pages
from tests.serving.feature_contract import NOW, TTL, Rows, check_online_features


def _profile(titles: list[str], minutes: list[float], impressions: list[float]) -> ProfileFeatures:
    vector = np.zeros(len(PROFILE), dtype=np.float32)
    return ProfileFeatures(vector, keys_of(titles), np.float32(minutes), np.float32(impressions))


def test_features_in_memory_keep_the_contract() -> None:
    def open_with(rows: Rows) -> InMemoryFeatures:
        return InMemoryFeatures(rows.profiles, rows.titles, rows.artworks, ttl=TTL, known_us=microseconds(NOW))

    check_online_features(open_with)


def test_familiarity_finds_each_title_wherever_it_lies_in_the_row() -> None:
    profile = _profile(["b", "a", "c"], [10.0, 0.0, 99.0], [3.0, 1.0, 0.0])
    found = familiarity_matrix(profile, keys_of(["a", "unknown", "c", "b", "a"]))
    log1p = np.log1p
    expected = [[1, 0, log1p(1)], [0, 0, 0], [1, log1p(99), 0], [1, log1p(10), log1p(3)], [1, 0, log1p(1)]]
    np.testing.assert_allclose(found, np.float32(expected), rtol=1e-6)
    assert found.dtype == np.float32


def test_familiarity_is_zero_for_cold_profiles_and_for_rows_without_titles() -> None:
    keys = np.array([hash64("a"), 0, 2**64 - 1], dtype=np.uint64)
    assert not familiarity_matrix(None, keys).any()
    assert not familiarity_matrix(_profile([], [], []), keys).any()
    assert familiarity_matrix(None, keys[:0]).shape == (0, 3)


def test_negative_minutes_of_a_broken_row_count_as_none() -> None:
    found = familiarity_matrix(_profile(["a"], [-5.0], [-1.0]), keys_of(["a"]))
    np.testing.assert_array_equal(found, np.float32([[1, 0, 0]]))


@pytest.mark.parametrize("field", ["vector", "minutes", "impressions"])
def test_a_profile_with_a_value_that_is_no_number_is_refused_by_field(field: str) -> None:
    parts = _parts()
    parts[field] = np.full_like(parts[field], np.nan)
    with pytest.raises(ContractError, match=f"{field} of a profile must be finite"):
        ProfileFeatures(**parts)


@pytest.mark.parametrize(
    ("field", "type_"), [("vector", "float64"), ("title_keys", "int64"), ("minutes", "int64"), ("impressions", ">f4")]
)
def test_a_profile_of_another_type_is_refused_by_field(field: str, type_: str) -> None:
    # Laid end to end with others, its numbers would make theirs of another type.
    parts = _parts()
    parts[field] = parts[field].astype(type_)
    with pytest.raises(ContractError, match=f"{field} must be of (float32|uint64), got {type_}"):
        ProfileFeatures(**parts)


@pytest.mark.parametrize("field", ["vector", "minutes", "impressions"])
def test_a_profile_of_another_shape_is_refused_by_field(field: str) -> None:
    parts = _parts()
    parts[field] = np.zeros(7, dtype=np.float32)
    with pytest.raises(ContractError, match=f"{field} must have shape"):
        ProfileFeatures(**parts)


@given(
    listed=st.lists(st.sampled_from([n << 56 | low for n in range(40) for low in (0, 1, 127)]), unique=True),
    asked=st.lists(st.sampled_from([n << 56 | low for n in range(40) for low in (0, 1, 127)]), max_size=60),
)
def test_familiarity_finds_titles_whose_keys_end_alike(listed: list[int], asked: list[int]) -> None:
    watched = np.arange(1.0, len(listed) + 1.0, dtype=np.float32)
    found = familiarity_matrix(_listing(listed, watched), np.array(asked, dtype=np.uint64))
    expected = [[float(key in listed), np.log1p(watched[listed.index(key)]) if key in listed else 0.0] for key in asked]
    np.testing.assert_allclose(found[:, :2], np.reshape(expected, (len(asked), 2)), rtol=1e-6)


_TITLES = st.lists(st.sampled_from([*range(20), *(n << 56 for n in range(1, 20))]), unique=True, max_size=30)


@given(pages=st.lists(st.tuples(st.none() | _TITLES, _TITLES), min_size=1, max_size=6))
def test_pages_together_are_as_familiar_as_each_alone(pages: list[tuple[list[int] | None, list[int]]]) -> None:
    profiles = [
        None if met is None else _listing(met, 100 * weight + np.arange(len(met)))
        for weight, (met, _) in enumerate(pages, 1)
    ]
    asked = [np.array(titles, dtype=np.uint64) for _, titles in pages]
    bounds = [0, *np.cumsum([len(keys) for keys in asked]).tolist()]
    alone = [familiarity_matrix(profile, keys) for profile, keys in zip(profiles, asked, strict=True)]
    np.testing.assert_array_equal(familiarity_of_pages(profiles, bounds, np.concatenate(asked)), np.concatenate(alone))


@pytest.mark.parametrize("n_profiles", [0, 1, 3])
def test_pages_without_a_profile_each_are_refused(n_profiles: int) -> None:
    with pytest.raises(ValueError, match=f"{n_profiles} profiles for 2 pages"):
        familiarity_of_pages([None] * n_profiles, [0, 1, 2], keys_of(["a", "b"]))


def _parts() -> dict[str, NDArray[Any]]:
    return {
        "vector": np.zeros(len(PROFILE), dtype=np.float32),
        "title_keys": keys_of(["a"]),
        "minutes": np.zeros(1, dtype=np.float32),
        "impressions": np.zeros(1, dtype=np.float32),
    }


def _listing(keys: list[int], watched: NDArray[Any]) -> ProfileFeatures:
    counted = watched.astype(np.float32)
    return ProfileFeatures(np.zeros(len(PROFILE), np.float32), np.array(keys, dtype=np.uint64), counted, counted / 2)
