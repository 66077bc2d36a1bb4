import random
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from models.error import ContractError, NotReadyError
from models.event import Event, Impression, Play
from models.interval import Interval
from pipelines.attribution import Attributed, attribute
from pipelines.attribution_source import stored_events
from pipelines.engine import open_engine
from pipelines.event_history import EventHistory
from pipelines.ingest import ingest
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.table import REWARDS, Table
from pipelines.workspace import workspace
from tests.pipelines.event_log import DAY, NEXT, at, impression, page, play, write_segment

MATURITY_HOURS = 54
DAYS = [Interval.parse(f"2026110{day}T000000Z", hours=24) for day in range(1, 8)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def all_rewards(settings: Settings) -> list[dict[str, object]]:
    return Lake(settings.lake_dir).read(REWARDS, DAYS[0].start_at, DAYS[-1].end_at).to_pylist()


def refresh(settings: Settings, intervals: Sequence[Interval]) -> list[Attributed]:
    found = []
    for interval in intervals:
        ingest(settings, interval)
        found.append(attribute(settings, interval))
    return found


def test_a_reward_is_written_by_the_interval_that_holds_its_maturity(settings: Settings) -> None:
    last_moment = timedelta(microseconds=1)
    early, late = at(48 - MATURITY_HOURS + 24) - last_moment, at(48 - MATURITY_HOURS + 24)
    events = [page(at(17), "a", "b", title_id="t"), impression("a", early), impression("b", late)]
    write_segment(settings.events_dir, [*events, play("y", at(19), minutes=30)])
    assert refresh(settings, DAYS[:4]) == [
        Attributed(0, 0, 0),
        Attributed(0, 0, 0),
        Attributed(1, 0, 1),
        Attributed(1, 1, 1),
    ]
    assert [(row["decision_id"], row["matured_at"]) for row in all_rewards(settings)] == [
        ("a", early + timedelta(hours=54)),
        ("b", late + timedelta(hours=54)),
    ]


def test_a_cached_repeat_days_later_makes_no_second_row(settings: Settings) -> None:
    repeats = [impression("d", at(hour)) for hour in (2, 30, 60, 160)]
    write_segment(settings.events_dir, [page(at(1), "d"), *repeats, play("y", at(161))])
    refresh(settings, DAYS)
    assert [(row["decision_id"], row["seen_at"], row["reward"]) for row in all_rewards(settings)] == [("d", at(2), 0.0)]


def test_an_impression_reported_again_days_later_makes_no_second_row(settings: Settings) -> None:
    events = [page(at(1), "d"), impression("d", at(2)), impression("d", at(2), at(50)), impression("d", at(2), at(100))]
    again = [play("y", at(3), at(4)), play("y", at(3), at(27))]
    write_segment(settings.events_dir, [*events, *again])
    refresh(settings, DAYS)
    assert [(row["decision_id"], row["minutes"]) for row in all_rewards(settings)] == [("d", 10.0)]


def test_a_second_run_changes_nothing(settings: Settings) -> None:
    write_segment(settings.events_dir, random_log(3))
    refresh(settings, DAYS)
    version = Lake(settings.lake_dir).version(REWARDS)
    assert [one.n_changed for one in refresh(settings, DAYS)] == [0] * len(DAYS)
    assert Lake(settings.lake_dir).version(REWARDS) == version


def test_another_rule_gives_other_rewards_under_its_own_name(tmp_path: Path) -> None:
    events = [page(at(1), "d"), impression("d", at(2)), play("y", at(3), minutes=1)]
    found = []
    for rule in ("quality-play-1", "any-play-1"):
        settings = Settings(home=tmp_path / rule, reward_rule=rule)
        write_segment(settings.events_dir, events)
        refresh(settings, DAYS[:4])
        found += [(row["rule"], row["reward"]) for row in all_rewards(settings)]
    assert found == [("quality-play-1", 0.0), ("any-play-1", 1.0)]
    with pytest.raises(ContractError, match="reward rule must be one of"):
        attribute(Settings(home=tmp_path, reward_rule="none"), DAY)


def random_log(seed: int) -> list[Event]:
    chance = random.Random(seed)
    events: list[Event] = []
    for number in range(120):
        profile, title, hour = f"p{chance.randrange(4)}", f"t{chance.randrange(3)}", chance.uniform(0, 60)
        events.append(page(at(hour), f"d{number}", profile_id=profile, title_id=title))
        for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
            seen = hour + chance.choice([0.0, 0.1, 20.0, 50.0])
            events.append(impression(f"d{number}", at(seen), at(seen + chance.choice([0.0, 0.0, 2.0, 5.0]))))
        if chance.random() < 0.5:
            started = hour + chance.uniform(0, 60)
            reported = at(started + chance.choice([0.1, 1.0, 5.0]))
            minutes = chance.choice([1.0, 5.5, 6.0, 40.0])
            events.append(
                play(f"y{number}", at(started), reported, profile_id=profile, title_id=title, minutes=minutes)
            )
    return events


def delayed(event: Event, chance: random.Random) -> Event:
    """Report an impression or play again up to an hour later."""
    if not isinstance(event, (Impression, Play)):
        return event
    later = event.received_at + timedelta(hours=chance.random())
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return type(event)(**fields | {"received_at": later})


@pytest.mark.parametrize("seed", [1, 2])
def test_shuffled_duplicated_and_repeated_reports_give_the_rewards_of_clean_ones(tmp_path: Path, seed: int) -> None:
    clean, messy = Settings(home=tmp_path / "clean"), Settings(home=tmp_path / "messy")
    events = random_log(seed)
    chance = random.Random(seed)
    repeated = [*events, *events, *(delayed(event, chance) for event in events)]
    chance.shuffle(repeated)
    write_segment(clean.events_dir, events)
    for part in range(4):
        write_segment(messy.events_dir, repeated[part::4], writer=f"w{part}")
    refresh(clean, DAYS)
    refresh(messy, DAYS)
    assert len(all_rewards(clean)) > 50
    assert all_rewards(clean) == all_rewards(messy)
    lakes = Lake(clean.lake_dir), Lake(messy.lake_dir)
    assert [lakes[0].content_hash(REWARDS, day) for day in DAYS] == [
        lakes[1].content_hash(REWARDS, day) for day in DAYS
    ]


def test_rewards_depend_neither_on_the_order_nor_on_the_length_of_intervals(tmp_path: Path) -> None:
    events = random_log(4)
    found = []
    for turn, hours in enumerate((24, 24, 12)):
        settings = Settings(home=tmp_path / str(turn), interval_hours=hours)
        write_segment(settings.events_dir, events)
        intervals = [part for day in DAYS for part in day.split(hours=hours)]
        if turn == 1:  # rewards first, in a wild order, and only then what they are made of
            shuffled = random.Random(5).sample(intervals, len(intervals))
            for interval in shuffled:
                attribute(settings, interval)
            for interval in shuffled:
                ingest(settings, interval)
            assert [attribute(settings, interval).n_changed for interval in shuffled] == [0] * len(shuffled)
        else:
            refresh(settings, intervals)
        found.append(all_rewards(settings))
    assert found[0] == found[1] == found[2]
    ids = [row["decision_id"] for row in found[0]]
    assert len(set(ids)) == len(ids) > 50


def test_an_interval_without_impressions_has_no_rewards_and_is_written(settings: Settings) -> None:
    assert attribute(settings, NEXT) == Attributed(0, 0, 0)
    assert Lake(settings.lake_dir).intervals(REWARDS) == [NEXT.key]


def test_an_interval_that_is_ingested_while_it_is_asked_for_is_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that reads the lake's files itself would find it there and in the log."""
    write_segment(settings.events_dir, [page(at(1), "d"), impression("d", at(2)), play("y", at(3))])
    ingest(settings, NEXT)
    lake = Lake(settings.lake_dir)
    asked, listed = Lake.intervals, []

    def meanwhile(self: Lake, table: Table) -> list[str]:
        found = asked(self, table)
        listed.append(found)
        if len(listed) == 1:
            ingest(settings, DAY)
        return found

    with workspace(settings) as space, open_engine(settings) as engine:
        history = EventHistory(settings, lake, space)
        monkeypatch.setattr(Lake, "intervals", meanwhile)
        with pytest.raises(NotReadyError, match=f"impressions of interval {DAY.key} were ingested"):
            stored_events(engine, history, NEXT, at(-24), at(40))
        impressions, plays = stored_events(engine, history, NEXT, at(-24), at(40))
        assert [len(engine.to_arrow(rows, rows.schema().to_pyarrow())) for rows in (impressions, plays)] == [1, 1]
