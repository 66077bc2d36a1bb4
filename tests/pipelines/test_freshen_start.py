"""A freshener knows what it needs of the log before it, and looks at no more."""

from datetime import timedelta

import pytest
from msgspec import structs

from models.segment import Segment, closed_name
from pipelines.freshen import Freshener
from tests.pipelines.event_log import at, impression, page, play, write_segment
from tests.pipelines.feature_world import day
from tests.pipelines.fresh_batch import batch, check_equals_batch, closing, drain, online


def test_months_of_segments_that_were_read_cost_nothing_but_their_names(home, monkeypatch):
    settings, store = home
    settings.events_dir.mkdir()
    for number in range(50_000):
        moment = at(-400) + timedelta(seconds=10 * number)
        (settings.events_dir / closed_name(moment, moment + timedelta(seconds=9), f"w{number}")).touch()
    write_segment(settings.events_dir, [page(at(1), "d", profile_id="p")], writer="busy")
    freshener, looked = Freshener(settings, store), []
    parse = Segment.at
    monkeypatch.setattr("pipelines.event_tail.Segment.at", lambda path: looked.append(path) or parse(path))
    drain(freshener)
    assert len(looked) >= 50_001, "without a state all of the log matters"
    looked.clear()
    write_segment(settings.events_dir, [page(at(2), "e", profile_id="p")], writer="new")
    assert freshener.step().n_lines == 1
    assert len(looked) <= 2
    freshener.close()


def test_the_places_of_segments_are_forgotten_once_a_batch_has_counted_them(home, fresh):
    settings, _ = home
    for number in range(20):
        write_segment(settings.events_dir, [page(at(number), f"d{number}", profile_id="p")], writer=f"w{number}")
    drain(fresh)
    assert places(fresh) == {f"w{number}" for number in range(20)}
    batch(settings, day(0))
    write_segment(settings.events_dir, [page(at(25), "e", profile_id="p")], writer="later")
    drain(fresh)
    assert places(fresh) == {"later"}


def places(freshener: Freshener) -> set[str]:
    return {segment for (segment,) in freshener._events._db.execute("SELECT segment FROM segments")}


@pytest.mark.parametrize("ran_before", [False, True])
def test_a_freshener_that_starts_after_a_batch_knows_what_was_decided_and_played_before(home, ran_before):
    settings, store = home
    early = [page(at(1), "d0", profile_id="p", title_id="title-1"), *closing(day(0), ["q"])]
    late = [page(at(20), "d1", profile_id="p", title_id="title-2"), play("y", at(20.5), title_id="title-2")]
    late = [structs.replace(each, profile_id="p") for each in late]
    write_segment(settings.events_dir, early, writer="w0")
    if ran_before:  # and stopped before the second half of the day
        reader = Freshener(settings, store)
        drain(reader)
        reader.close()
    write_segment(settings.events_dir, late, writer="w1")
    batch(settings, day(0))
    reader = Freshener(settings, store)
    write_segment(
        settings.events_dir,
        [
            impression("d0", at(25)), impression("d1", at(26)),
            play("y", at(20.5), at(27), title_id="title-2"), play("z", at(28), title_id="title-1"),
            *closing(day(1), ["p"]),
        ],
        writer="w2",
    )  # fmt: skip
    drain(reader)
    batch(settings, day(1))
    check_equals_batch(settings, day(1), "p")
    assert sum(online(settings, "p", day(1).end_at).impressions) == 2.0
    assert places(reader) == {"w2"}
    reader.close()
