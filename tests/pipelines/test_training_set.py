"""A training set is every matured decision, with its propensity and what was known when it was made."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.assignment import is_held_out
from models.error import ContractError, NotReadyError
from models.identity import keys_of
from models.layout import FAMILIARITY_PART, PROFILE_PART, TITLE_PART
from pipelines.column import times
from pipelines.lake import Lake
from pipelines.point_in_time import Joined, PointInTime
from pipelines.skew import Skew
from pipelines.status import status
from pipelines.table import DECISIONS, REWARDS
from pipelines.training_part import joined_familiarity
from pipelines.training_set import Side, TrainingSet, build_training_set, iter_training_batches, read_training_set
from serving.feast_features import open_features
from serving.feature_store import open_feature_store
from serving.features import ProfileFeatures, familiarity_matrix
from tests.pipelines.feature_world import N_DAYS, day

SHARE = 0.4


@pytest.fixture(scope="session")
def training_set(feast_world) -> TrainingSet:
    return build_training_set(feast_world, day(N_DAYS - 1).end_at)


@pytest.fixture(scope="session")
def everything(training_set) -> list:
    return list(iter_training_batches(training_set.uri, Side.ALL, holdout_share=SHARE, max_rows=40))


def logged(settings) -> tuple[list[dict], list[dict]]:
    lake, until = Lake(settings.lake_dir), day(N_DAYS - 1).end_at
    rewards = lake.read(REWARDS, day(0).start_at, until).to_pylist()
    decisions = {row["decision_id"]: row for row in lake.read(DECISIONS, day(0).start_at, until).to_pylist()}
    return rewards, [decisions[row["decision_id"]] for row in rewards]


def test_every_matured_decision_is_there_once_as_it_was_logged(feast_world, training_set, everything):
    rewards, decisions = logged(feast_world)
    assert training_set.n_decisions == len(rewards) == sum(len(batch) for batch in everything)
    assert training_set.intervals == tuple(day(number).key for number in range(N_DAYS))
    assert training_set.learned_from_at == day(0).start_at
    assert training_set.learned_through_at == day(N_DAYS - 1).end_at
    ids = [name for batch in everything for name in batch.decision_ids]
    assert ids == [row["decision_id"] for row in rewards]
    np.testing.assert_array_equal(
        np.concatenate([b.propensity for b in everything]), [d["propensity"] for d in decisions]
    )
    np.testing.assert_array_equal(np.concatenate([b.reward for b in everything]), [r["reward"] for r in rewards])
    for batch, row in ((each, row) for each in everything for row in range(len(each))):
        decision = decisions[ids.index(batch.decision_ids[row])]
        first, last = batch.batch.offsets[row : row + 2]
        np.testing.assert_array_equal(batch.batch.artwork_keys[first:last], keys_of(decision["actions"]))
        assert decision["actions"][batch.chosen[row] - first] == decision["artwork_id"]
        assert batch.device[row] == decision["device"]
        assert (batch.epoch[row], batch.title_ids[row]) == (decision["epoch"], decision["title_id"])
        assert batch.artwork_ids[first:last].tolist() == decision["actions"]
        assert batch.batch.profile_keys[row] == keys_of([decision["profile_id"]])[0]


def test_vectors_are_those_that_were_online_when_the_last_day_was_served(feast_world, everything):
    features, n_checked = open_features(feast_world), 0
    _, decisions = logged(feast_world)
    by_id = {row["decision_id"]: row for row in decisions}
    for batch in everything:
        for row, name in enumerate(batch.decision_ids):
            decision = by_id[name]
            if decision["decided_at"] < day(N_DAYS - 1).start_at:
                continue
            n_checked += 1
            shared, (first, last) = batch.batch.shared[row], batch.batch.offsets[row : row + 2]
            profile = features.profile(decision["profile_id"], decision["decided_at"])
            vector = np.zeros(32) if profile is None else profile.vector
            np.testing.assert_array_equal(shared[PROFILE_PART], vector)
            np.testing.assert_array_equal(shared[TITLE_PART], features.titles([decision["title_id"]]).vectors[0])
            met = familiarity_matrix(profile, keys_of([decision["title_id"]]))[0]
            np.testing.assert_array_equal(shared[FAMILIARITY_PART], met)
            np.testing.assert_array_equal(
                batch.batch.artworks[first:last], features.artworks(decision["actions"]).vectors
            )
    assert n_checked > 20


def test_decisions_of_the_first_day_know_nothing_yet(everything):
    for batch in everything:
        first_day = batch.decided_at < np.datetime64(day(1).start_at.replace(tzinfo=None))
        assert not batch.batch.shared[first_day, : FAMILIARITY_PART.stop].any()
    assert any((batch.batch.shared[:, PROFILE_PART] != 0).any() for batch in everything)


def test_broadcast_steps_equal_asking_feast_for_every_decision(feast_world, training_set, everything):
    store, directory = open_feature_store(feast_world), Path(urlparse(training_set.uri).path)
    rows = pa.concat_tables([pq.read_table(path) for path in sorted(directory.glob("part-*.parquet"))])
    shared = np.concatenate([batch.batch.shared for batch in everything])
    for view, key, part in (("profile_taste", "profile_id", PROFILE_PART), ("title_profile", "title_id", TITLE_PART)):
        asked = PointInTime(feast_world, store, view).ask(rows[key], times(rows["decided_at"]))["vector"].to_pylist()
        width = part.stop - part.start
        np.testing.assert_array_equal(shared[:, part], np.array([each or [0.0] * width for each in asked], np.float32))


def test_familiarity_of_many_rows_equals_that_of_a_page():
    rng = np.random.default_rng(5)
    titles = [f"t{number}" for number in range(9)]
    profiles = []
    for size in (0, 1, 4, 9):
        met = rng.permutation(titles)[:size]
        minutes, seen = (rng.integers(0, 50, size).astype(np.float32) for _ in range(2))
        profiles.append(ProfileFeatures(np.zeros(32, np.float32), keys_of(met), minutes, seen))
    place, asked = rng.integers(-1, len(profiles), 200), rng.choice(titles, 200)
    features = pa.table({
        "title_keys": pa.array([each.title_keys.view(np.int64) for each in profiles], pa.list_(pa.int64())),
        "minutes": pa.array([each.minutes for each in profiles], pa.list_(pa.float32())),
        "impressions": pa.array([each.impressions for each in profiles], pa.list_(pa.float32())),
    })
    found = joined_familiarity(Joined(place, features), pa.array(asked))
    pages = [
        familiarity_matrix(None if row < 0 else profiles[row], keys_of([title]))[0]
        for row, title in zip(place, asked, strict=True)
    ]
    np.testing.assert_array_equal(found, np.stack(pages))


def test_sides_split_by_profile_and_together_are_everything(training_set, everything):
    sides = {side: list(iter_training_batches(training_set.uri, side, holdout_share=SHARE)) for side in Side}
    ids = {side: {name for batch in batches for name in batch.decision_ids} for side, batches in sides.items()}
    assert ids[Side.TRAIN] | ids[Side.JUDGE] == ids[Side.ALL] == {n for batch in everything for n in batch.decision_ids}
    assert not ids[Side.TRAIN] & ids[Side.JUDGE]
    assert ids[Side.TRAIN]
    assert ids[Side.JUDGE]
    assert all(is_held_out(batch.batch.profile_keys, SHARE).all() for batch in sides[Side.JUDGE])


def test_no_profile_that_trains_judges_and_none_that_judges_trains(feast_world, training_set):
    assert training_set.holdout_share == SHARE
    for side, share in ((Side.JUDGE, 0.9), (Side.TRAIN, 0.1)):
        with pytest.raises(ContractError, match=f"holdout_share must be 0.4 as in .*, got {share} to {side}"):
            next(iter_training_batches(training_set.uri, side, holdout_share=share))
    for side, share in ((Side.JUDGE, 0.2), (Side.TRAIN, 0.9)):
        own, fewer = (
            {
                name
                for batch in iter_training_batches(training_set.uri, side, holdout_share=each)
                for name in batch.decision_ids
            }
            for each in (None, share)
        )
        assert fewer < own


def test_building_again_writes_nothing(feast_world, training_set):
    directory = Path(urlparse(training_set.uri).path)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.iterdir()}
    assert build_training_set(feast_world, training_set.as_of) == training_set == read_training_set(training_set.uri)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.iterdir()} == before


def test_only_what_had_matured_by_then_and_within_the_window_is_learned_from(feast_world):
    earlier = build_training_set(feast_world, day(1).end_at + timedelta(hours=1))
    assert earlier.intervals == (day(0).key, day(1).key)
    short = feast_world.model_copy(update={"training_window_days": 1.0})
    assert build_training_set(short, day(1).end_at).intervals == (day(1).key,)
    with pytest.raises(NotReadyError, match="matured"):
        build_training_set(feast_world, day(0).start_at)


def test_rewards_of_two_rules_are_never_mixed(feast_world):
    other = feast_world.model_copy(update={"reward_rule": "any-play-1"})
    with pytest.raises(ContractError, match="quality-play-1"):
        build_training_set(other, day(0).end_at + timedelta(hours=2))


def test_a_broken_part_is_named(feast_world):
    built = build_training_set(feast_world, day(2).end_at)
    path = Path(urlparse(built.uri).path) / f"titles-{day(1).key}.parquet"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ContractError, match=path.name):
        list(iter_training_batches(built.uri, Side.ALL, holdout_share=SHARE))
    (path.parent / "manifest.json").write_text("{}")
    with pytest.raises(ContractError, match=r"manifest\.json"):
        next(iter_training_batches(built.uri, Side.ALL, holdout_share=SHARE))


def test_a_sound_file_that_is_not_the_manifests_is_named(feast_world):
    built = build_training_set(feast_world, day(2).end_at)
    path = Path(urlparse(built.uri).path) / f"part-{day(1).key}.parquet"
    sizes = [len(batch) for batch in iter_training_batches(built.uri, Side.ALL, holdout_share=SHARE)]
    assert sum(sizes) == built.n_decisions
    table = pq.read_table(path, partitioning=None)
    place = table.schema.get_field_index("reward")
    pq.write_table(table.set_column(place, "reward", pa.array([1.0] * len(table))), path)
    with pytest.raises(ContractError, match=f"{path.name} was altered"):
        list(iter_training_batches(built.uri, Side.ALL, holdout_share=SHARE))
    build_training_set(feast_world, day(2).end_at)
    again = [len(batch) for batch in iter_training_batches(built.uri, Side.ALL, holdout_share=SHARE)]
    assert again == sizes
    path.unlink()
    with pytest.raises(ContractError, match=path.name):
        list(iter_training_batches(built.uri, Side.ALL, holdout_share=SHARE))
    build_training_set(feast_world, day(2).end_at)


def test_what_was_served_is_what_was_joined_and_a_difference_is_seen(feast_world, training_set):
    skew = training_set.skew
    assert skew.n_compared > 20
    assert skew.share_equal == 1.0
    assert (status(feast_world).n_compared, status(feast_world).share_equal) == (skew.n_compared, 1.0)
    lake, interval = Lake(feast_world.lake_dir), day(N_DAYS - 1)
    decisions = lake.read(DECISIONS, interval.start_at, interval.end_at)
    blank = pa.array([b"\x00" * 128] * len(decisions), pa.binary())
    place = decisions.schema.get_field_index("profile_features")
    lake.overwrite(DECISIONS, interval, decisions.set_column(place, "profile_features", blank))
    try:
        worse = build_training_set(feast_world, training_set.as_of)
        found = status(feast_world)
    finally:
        lake.overwrite(DECISIONS, interval, decisions)
        assert build_training_set(feast_world, training_set.as_of) == training_set
    assert worse.data_version == training_set.data_version
    assert worse.skew.n_compared == skew.n_compared
    assert worse.skew.share_equal == worse.skew.share_equal_by_part["profile"] < 1.0
    assert worse.skew.share_equal_by_part["artwork"] == 1.0
    assert (found.trained_as_of, found.share_equal) == (training_set.as_of, worse.skew.share_equal)


def test_where_nothing_was_served_nothing_is_compared(feast_world):
    assert build_training_set(feast_world, day(1).end_at).skew == Skew()
