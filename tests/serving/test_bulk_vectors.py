"""Vectors of a whole view are as the store has them at each reading, and only what changed is taken apart."""

import re
from typing import Any

import numpy as np
import pytest
from feast.protos.feast.types.Value_pb2 import FloatList, Value

import serving.bulk_vectors
from serving.bulk_vectors import BulkVectors
from serving.packed_row import pack
from tests.serving.captured import captured_logs

N = 2_500
IDS = [f"a{n}" for n in range(N)]


def row(*numbers: float, at_us: int = 7, name: str = "vector") -> bytes:
    return pack({name: Value(float_list_val=FloatList(val=numbers))}, at_us, at_us)


class Store:
    """Rows by key; knows whose rows were taken apart since it was last asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows = {name.encode(): row(n, -n) for n, name in enumerate(IDS)}
        self.spelled = 0
        self._apart: list[str] = []
        unpack = serving.bulk_vectors.unpack_arrays

        def watched(packed: bytes, whose: str) -> dict[str, Any]:
            self._apart.append(whose)
            return unpack(packed, whose)

        monkeypatch.setattr("serving.bulk_vectors.unpack_arrays", watched)

    def spell(self, name: str) -> bytes:
        self.spelled += 1
        return name.encode()

    def read(self, keys: list[bytes]) -> list[bytes | None]:
        return [self.rows.get(key) for key in keys]

    def taken_apart(self) -> list[str]:
        found, self._apart = self._apart, []
        return found


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    return Store(monkeypatch)


@pytest.fixture
def bulk(store: Store) -> BulkVectors:
    return BulkVectors(2, store.spell, store.read)


def test_rows_that_are_as_they_were_are_not_taken_apart_again(store: Store, bulk: BulkVectors) -> None:
    first = bulk.read(IDS)
    assert first.vectors[:, 0].tolist() == list(range(N))
    assert (store.taken_apart(), store.spelled) == (IDS, N)
    again = bulk.read(list(IDS))
    np.testing.assert_array_equal(again.vectors, first.vectors)
    assert again.vectors is not first.vectors
    assert (again.known_us, store.taken_apart(), store.spelled) == (7, [], N)


def test_a_row_that_changed_comes_or_goes_is_seen_at_the_next_reading(store: Store, bulk: BulkVectors) -> None:
    bulk.read(IDS)
    del store.rows[b"a3"]
    store.rows[b"a1500"] = row(5, 6, at_us=9)
    store.rows[b"a2499"] = row(1, name="another feature")
    found = bulk.read(IDS)
    assert found.vectors[[3, 1500, 2499]].tolist() == [[0, 0], [5, 6], [0, 0]]
    assert found.known_us == 9
    store.rows[b"a3"] = row(8, 8)
    store.rows[b"a1500"] = row(5, 6, at_us=7)
    found = bulk.read(IDS)
    assert (found.vectors[3].tolist(), found.known_us) == ([8, 8], 7)


def test_other_ids_are_read_for_what_they_are_and_only_new_ones_spelled(store: Store, bulk: BulkVectors) -> None:
    bulk.read(IDS)
    for ids in (IDS[1:], ["unknown", *IDS], IDS[::-1], IDS[:10], [], [*IDS[:5], *IDS[:5]], IDS):
        found = bulk.read(ids)
        assert found.vectors.shape == (len(ids), 2)
        first = [float(name[1:]) if name != "unknown" else 0.0 for name in ids]
        assert found.vectors[:, 0].tolist() == first
    assert bulk.read([]).known_us is None
    spelled = store.spelled
    bulk.read(IDS[:10])
    bulk.read(["new", *IDS[:10]])
    assert store.spelled == spelled + 11, "ten after none were known, and one"


@pytest.mark.parametrize(
    ("broken", "message"), [(row(1, 2, 3), "'a1200' must have 2 values, got 3"), (b"x" * 20, "a packed row of 'a1200'")]
)
def test_a_broken_row_counts_as_missing_is_named_once_and_harms_no_other(
    store: Store, bulk: BulkVectors, broken: bytes, message: str
) -> None:
    bulk.read(IDS)
    store.rows[b"a0"], store.rows[b"a1200"] = row(9, 9), broken
    with captured_logs() as lines:
        for _ in range(2):
            found = bulk.read(IDS)
            assert found.vectors[[0, 1199, 1200, 1201]].tolist() == [[9, 9], [1199, -1199], [0, 0], [1201, -1201]]
            assert (found.n_refused, found.known_us) == (1, 7)
    (line,) = lines
    assert line["n_rows"] == 1
    assert re.search(message, line["first"])
    store.rows[b"a1200"] = row(1200, -1200)
    found = bulk.read(IDS)
    assert (found.vectors[1200].tolist(), found.n_refused) == ([1200, -1200], 0)
