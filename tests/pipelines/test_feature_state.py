"""State after an interval is what a slow, obvious count says."""

from collections import defaultdict
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.identity import hash64, is_anonymous
from models.layout import DEVICES, TASTES, taste_vector
from pipelines import feature_state
from pipelines.feature_count import MET
from pipelines.feature_state import STATES, Fading
from pipelines.feature_tables import build_features
from pipelines.part import read_part
from tests.pipelines.feature_world import catalogue, day, make_home, make_world

N_DAYS = 3
HALF_LIFE_DAYS, HALF_LIFE_MINUTES = 30.0, 300.0


@pytest.fixture(scope="module")
def states(tmp_path_factory) -> dict[str, pa.Table]:
    settings = make_home(tmp_path_factory.mktemp("state"), N_DAYS)
    for number in range(N_DAYS):
        build_features(settings, day(number))
    root: Path = settings.features_dir / "_state"
    return {
        name: read_part(root / name / f"interval={day(N_DAYS - 1).key}" / "part.parquet", STATES[name])
        for name in STATES
    }


def rows_before_the_end(table: str, clock: str) -> list[dict]:
    return [row for row in make_world(N_DAYS).tables[table] if row[clock] < day(N_DAYS - 1).end_at]


def is_later(play: dict, other: dict) -> bool:
    """Tell whether a play came in on a later day."""
    return play["received_at"].date() > other["received_at"].date()


def test_a_taste_fades_with_time_and_with_what_was_watched_since():
    fading = Fading(timedelta(days=30), 600.0)
    left = fading.left(timedelta(days=15), np.array([0.0, 300.0, 900.0]))
    assert left == pytest.approx([0.5**0.5, 0.5, 0.25])


def test_profiles_are_counted_as_a_plain_loop_counts_them(states):
    end_at, titles = day(N_DAYS - 1).end_at, catalogue().titles
    expected = defaultdict(
        lambda: {
            "seen": [],
            "n": np.zeros(3, int),
            "devices": np.zeros(len(DEVICES), int),
            "taste": np.zeros(len(TASTES)),
        }
    )
    pages = {row["page_id"]: row for row in rows_before_the_end("decisions", "decided_at")}
    for page in pages.values():
        one = expected[page["profile_id"]]
        one["seen"].append(page["decided_at"])
        one["devices"][DEVICES.index(page["device"]) if page["device"] in DEVICES else -1] += 1
    for row in rows_before_the_end("impressions", "received_at"):
        expected[row["profile_id"]]["n"][0] += 1
        expected[row["profile_id"]]["seen"].append(row["received_at"])
    plays = rows_before_the_end("plays", "received_at")
    liked = [row for row in plays if row["minutes"] >= 6 or row["completion"] >= 0.7]
    for row in plays:
        expected[row["profile_id"]]["n"] += (0, 1, row in liked)
    for row in liked:
        later = [each["minutes"] for each in liked if each["profile_id"] == row["profile_id"] and is_later(each, row)]
        halvings = (end_at - row["started_at"]) / timedelta(days=HALF_LIFE_DAYS) + sum(later) / HALF_LIFE_MINUTES
        taste = taste_vector(titles[row["title_id"]].tastes).astype(float)
        expected[row["profile_id"]]["taste"] += taste * row["minutes"] * 0.5**halvings
    expected = {profile: one for profile, one in expected.items() if not is_anonymous(profile)}
    found = states["profile"].to_pylist()
    assert [row["profile_id"] for row in found] == sorted(expected)
    for row in found:
        one = expected[row["profile_id"]]
        assert row["first_seen_at"] == min(one["seen"])
        assert [row["n_impressions"], row["n_plays"], row["n_quality_plays"]] == one["n"].tolist()
        assert row["n_by_device"] == one["devices"].tolist()
        np.testing.assert_allclose(row["taste_minutes"], one["taste"], rtol=1e-9)


def test_familiarity_is_counted_as_a_plain_loop_counts_it(states):
    expected: dict = defaultdict(lambda: [0.0, 0])
    for row in rows_before_the_end("impressions", "received_at"):
        expected[row["profile_id"], row["title_id"]][1] += 1
    for row in rows_before_the_end("plays", "received_at"):
        expected[row["profile_id"], row["title_id"]][0] += row["minutes"]
    wanted = {(who, hash64(title)): value for (who, title), value in expected.items() if not is_anonymous(who)}
    found = states["familiarity"].to_pylist()
    assert len(found) == len(wanted)
    for row in found:
        minutes, n_impressions = wanted[row["profile_id"], row["title_key"] % 2**64]
        assert row["n_impressions"] == n_impressions
        assert row["minutes"] == pytest.approx(minutes)


@pytest.mark.parametrize(("name", "key"), [("title", "title_id"), ("artwork", "artwork_id")])
def test_responses_count_matured_rewards_of_every_profile_even_an_anonymous_one(states, name, key):
    expected: dict = defaultdict(lambda: [0, 0.0])
    for row in rows_before_the_end("rewards", "matured_at"):
        expected[row[key]][0] += 1
        expected[row[key]][1] += row["reward"]
    found = {row[key]: [row["n_impressions"], row["n_takes"]] for row in states[name].to_pylist()}
    known = catalogue().titles if name == "title" else catalogue().artworks
    assert found == {each: expected[each] for each in sorted(known)}


def test_only_the_latest_titles_of_a_profile_are_kept(monkeypatch):
    monkeypatch.setattr(feature_state, "MAX_FAMILIAR_TITLES", 2)
    moment = day(0).start_at
    met = pa.Table.from_pylist(
        [
            {"profile_id": who, "title_id": title, "last_at": moment + timedelta(hours=hour)}
            | {"n_impressions": 1, "minutes": minutes, "taste_minutes": 0.0}
            for who, title, hour, minutes in (
                ("a", "t1", 3, 10.0),
                ("a", "t2", 2, 0.0),
                ("a", "t3", 1, 0.0),
                ("b", "t1", 0, 0.0),
            )
        ],
        schema=MET,
    )
    state = feature_state.advance_familiarity(STATES["familiarity"].empty_table(), met)
    kept = [(row["profile_id"], row["title_key"] % 2**64, row["minutes"]) for row in state.to_pylist()]
    assert kept == [("a", hash64("t1"), 10.0), ("a", hash64("t2"), 0.0), ("b", hash64("t1"), 0.0)]
