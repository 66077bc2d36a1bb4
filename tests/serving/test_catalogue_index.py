"""Which artworks may be shown, by the index and by the catalogue."""

from dataclasses import fields
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.catalogue import Artwork, Catalogue, Title
from models.layout import ARTWORK, TITLE
from serving.candidate import UNKNOWN_ROW
from serving.catalogue_index import CatalogueIndex, build_index, microseconds
from serving.features import InMemoryFeatures
from tests.serving.example import LAUNCHED, example_catalogue

_delays = st.lists(st.lists(st.integers(0, 5), max_size=4), min_size=1, max_size=4)


def _catalogue(delays: list[list[int]]) -> Catalogue:
    """Title t0, t1, …; artwork t<n>-a<k> is launched so many microseconds after LAUNCHED as `delays[n][k]`."""
    return Catalogue(
        [Title(f"t{n}", LAUNCHED) for n in range(len(delays))],
        [
            Artwork(f"t{n}-a{k}", f"t{n}", LAUNCHED + timedelta(microseconds=delay))
            for n, each in enumerate(delays)
            for k, delay in enumerate(each)
        ],
    )


@given(_delays, st.integers(-1, 6))
def test_the_index_lists_what_the_catalogue_does_at_every_moment(delays: list[list[int]], after_us: int) -> None:
    catalogue, at = _catalogue(delays), LAUNCHED + timedelta(microseconds=after_us)
    index = build_index(catalogue, InMemoryFeatures())
    for title_id in catalogue.titles:
        found = index.candidates(title_id, microseconds(at))
        expected = [artwork.artwork_id for artwork in catalogue.eligible(title_id, at)]
        assert list(found.actions) == (expected or [f"{title_id}:default"])
        assert found.reason == ("" if expected else "no_artwork")
        assert msgspec.json.decode(found.line) == list(found.actions)
        assert found.rows.tolist() == [index.artwork_row.get(name, UNKNOWN_ROW) for name in found.actions]


@given(_delays, st.integers(0, 6))
def test_titles_that_are_all_launched_take_the_short_way(delays: list[list[int]], after_us: int) -> None:
    index = build_index(_catalogue(delays), InMemoryFeatures())
    at_us = microseconds(LAUNCHED) + after_us
    for (title_id, entry), each in zip(index.titles.items(), delays, strict=True):
        is_whole = all(delay <= after_us for delay in each)
        found = index.candidates(title_id, at_us)
        assert (found is entry.whole) == is_whole, "another title's launch costs this one nothing"


def test_maturity_and_country_decide_who_may_see_an_artwork() -> None:
    def artwork(name: str, **changes: Any) -> Artwork:
        return Artwork(name, "t", LAUNCHED, **changes)

    artworks = [artwork("all"), artwork("from-16", maturity=16), artwork("de-at", countries=("DE", "AT"))]
    catalogue = Catalogue(
        [Title("t", LAUNCHED), Title("u", LAUNCHED)], [*artworks, Artwork("v", "u", LAUNCHED, maturity=18)]
    )
    index, at_us = build_index(catalogue, InMemoryFeatures()), microseconds(LAUNCHED)
    for country, limit, expected in (
        ("", None, ("all", "from-16")),
        ("de", None, ("all", "from-16", "de-at")),
        ("DE", 15, ("all", "de-at")),
        ("FR", 16, ("all", "from-16")),
    ):
        for _ in range(2):  # worked out, and remembered
            assert index.candidates("t", at_us, country, limit).actions == expected
        assert index.candidates("t", at_us - 1, country, limit).reason == "no_artwork"
    barred = index.candidates("u", at_us, "DE", 12)
    assert (barred.actions, barred.reason) == (("u:default",), "no_artwork")


def test_an_index_takes_new_vectors_as_if_it_were_laid_out_anew_and_is_itself_while_they_are_as_they_were() -> None:
    catalogue = example_catalogue()
    old, new = (
        InMemoryFeatures(
            titles={"t0": np.full(len(TITLE), value, np.float32)},
            artworks={"t1-a0": np.full(len(ARTWORK), value, np.float32)},
            known_us=known_us,
        )
        for value, known_us in ((1.0, 10), (np.nan, 20))
    )
    index = build_index(catalogue, old)
    assert index.with_vectors(old) is index
    moved, expected = index.with_vectors(new), build_index(catalogue, new)
    assert (moved.known_us, moved.n_refused_vectors) == (20, 2)
    for name in {field.name for field in fields(CatalogueIndex)} - {"titles", "lines"}:
        np.testing.assert_equal(getattr(moved, name), getattr(expected, name), name)
    assert (moved.titles, moved.lines) == (index.titles, index.lines), "what the catalogue says is not laid out again"
    later = InMemoryFeatures(titles=old._titles, artworks=old._artworks, known_us=11)
    assert index.with_vectors(later).known_us == 11, "the same vectors of another interval"
