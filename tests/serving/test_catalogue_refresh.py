"""An index follows the catalogue file at once, and vectors when two readings agree."""

from pathlib import Path

import numpy as np
import pytest

from models.error import FeatureUnavailableError
from models.layout import ARTWORK, TITLE
from serving.catalogue_file import write_catalogue
from serving.catalogue_index import CatalogueIndex
from serving.catalogue_refresh import CatalogueRefresh
from serving.features import InMemoryFeatures, KnownVectors
from tests.serving.example import example_catalogue


class Store(InMemoryFeatures):
    """Every title's and every artwork's vector is one number, known since that interval; or the store is dead."""

    def __init__(self, titles: int = 1, artworks: int = 1) -> None:
        super().__init__()
        self.numbers = {"titles": titles, "artworks": artworks}
        self.is_dead = False

    def titles(self, title_ids: object) -> KnownVectors:
        return self._told("titles", title_ids, len(TITLE))

    def artworks(self, artwork_ids: object) -> KnownVectors:
        return self._told("artworks", artwork_ids, len(ARTWORK))

    def _told(self, view: str, ids: object, width: int) -> KnownVectors:
        if self.is_dead:
            raise FeatureUnavailableError("gone")
        assert isinstance(ids, list)
        return KnownVectors(np.full((len(ids), width), self.numbers[view], np.float32), self.numbers[view])


def numbers(index: CatalogueIndex) -> tuple[float, float, int]:
    return float(index.title_vectors[0, 0]), float(index.artwork_vectors[0, 0]), index.known_us


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_catalogue(example_catalogue(), tmp_path / "catalogue.parquet")
    return tmp_path / "catalogue.parquet"


def test_the_first_reading_is_taken_at_once_and_the_same_again_is_the_very_same(path: Path) -> None:
    refresh = CatalogueRefresh(path, Store())
    first = refresh.build()
    assert numbers(first) == (1, 1, 1)
    assert refresh.build() is first
    assert refresh.read_file() is first


def test_a_night_that_arrives_in_parts_is_in_force_whole_or_not_at_all(path: Path) -> None:
    store = Store()
    refresh = CatalogueRefresh(path, store)
    held = refresh.build()
    store.numbers["titles"] = 2
    assert refresh.build() is held
    store.numbers["artworks"] = 2
    assert refresh.build() is held, "the reading before was another"
    whole = refresh.build()
    assert numbers(whole) == (2, 2, 2)
    assert refresh.build() is whole


def test_vectors_that_were_another_once_and_are_again_as_before_end_as_before(path: Path) -> None:
    store = Store()
    refresh = CatalogueRefresh(path, store)
    refresh.build()
    for number in (2, 1, 1):
        store.numbers["titles"] = number
        assert numbers(refresh.build()) == (1, 1, 1)


def test_another_file_is_in_force_at_once_and_its_vectors_once_two_readings_agree(path: Path) -> None:
    store = Store()
    refresh = CatalogueRefresh(path, store)
    n_before = len(refresh.build().titles)
    write_catalogue(example_catalogue(5), path)
    store.is_dead = True
    for _ in range(2):
        with pytest.raises(FeatureUnavailableError):
            refresh.build()
    kept = refresh.read_file()
    assert (len(kept.titles), numbers(kept)) == (5, (1, 1, 1)), "what stayed keeps its vectors"
    assert kept.title_vectors[:, 0].tolist() == [1.0] * n_before + [0.0] * (5 - n_before + 1)
    n_artworks_before = sum(len(entry.artworks) for entry in list(kept.titles.values())[:n_before])
    assert kept.artwork_vectors[:, 0].nonzero()[0].tolist() == list(range(n_artworks_before))
    store.is_dead, store.numbers = False, {"titles": 3, "artworks": 3}
    assert numbers(refresh.build()) == (1, 1, 1), "seen once"
    found = refresh.build()
    assert (len(found.titles), numbers(found)) == (5, (3, 3, 3))
    assert found.title_vectors[:5].all()


def test_a_file_that_is_replaced_while_a_night_arrives_puts_no_half_of_it_in_force(path: Path) -> None:
    store = Store()
    refresh = CatalogueRefresh(path, store)
    refresh.build()
    store.numbers["titles"] = 2
    write_catalogue(example_catalogue(4), path)
    assert numbers(refresh.build()) == (1, 1, 1)
    store.numbers["artworks"] = 2
    assert numbers(refresh.build()) == (1, 1, 1)
    assert numbers(refresh.build()) == (2, 2, 2)


def test_a_file_that_is_replaced_between_any_two_readings_keeps_no_vectors_out(path: Path) -> None:
    store = Store()
    refresh = CatalogueRefresh(path, store)
    refresh.build()
    store.numbers = {"titles": 2, "artworks": 2}
    for expected in (1, 2, 2):
        write_catalogue(example_catalogue(), path)
        assert numbers(refresh.build()) == (expected,) * 3


def test_a_dead_store_between_two_readings_changes_nothing(path: Path) -> None:
    store = Store()
    refresh = CatalogueRefresh(path, store)
    held = refresh.build()
    store.numbers = {"titles": 2, "artworks": 2}
    assert refresh.build() is held
    store.is_dead = True
    with pytest.raises(FeatureUnavailableError):
        refresh.build()
    store.is_dead = False
    assert numbers(refresh.build()) == (2, 2, 2)


def test_a_file_that_was_written_again_says_the_same(path: Path) -> None:
    refresh = CatalogueRefresh(path, Store())
    first = refresh.build()
    write_catalogue(example_catalogue(), path)
    again = refresh.build()
    assert again is not first
    assert (list(again.titles), numbers(again)) == (list(first.titles), numbers(first))
