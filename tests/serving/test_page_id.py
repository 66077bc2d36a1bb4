import random
import uuid
from datetime import timedelta

from serving.page_id import page_ids
from tests.serving.example import NOW


def test_page_ids_sort_in_the_order_of_time_down_to_the_microsecond() -> None:
    new_page_id = page_ids()
    ids = [new_page_id(NOW + timedelta(microseconds=step)) for step in range(3_000)]
    assert ids == sorted(ids)


def test_page_ids_of_one_moment_differ() -> None:
    new_page_id = page_ids()
    assert len({new_page_id(NOW) for _ in range(10_000)}) == 10_000


def test_page_ids_are_uuids_of_version_seven_that_tell_their_time() -> None:
    found = uuid.UUID(page_ids()(NOW))
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert found.int >> 80 == int(NOW.timestamp() * 1000)


def test_a_seeded_generator_gives_the_same_ids_again() -> None:
    first, second = (page_ids(random.Random(5).getrandbits) for _ in range(2))
    assert [first(NOW) for _ in range(9)] == [second(NOW) for _ in range(9)]
