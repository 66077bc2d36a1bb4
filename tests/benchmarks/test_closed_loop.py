"""The loop in memory is the platform's own loop: the same decisions, rewards and features, cell for cell."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.closed_loop import ClosedLoop, Day, loop_settings
from models.identity import keys_of
from models.interval import Interval
from models.layout import FAMILIARITY_PART, PROFILE_PART, TITLE_PART
from models.policy import UniformPolicy
from pipelines.attribution import attribute
from pipelines.feature_tables import build_features, view_path
from pipelines.ingest import ingest
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.simulate import SimulatedIds, simulate
from pipelines.table import DECISIONS, REWARDS
from serving.catalogue_file import write_catalogue
from serving.catalogue_index import build_index
from serving.features import InMemoryFeatures, ProfileFeatures
from serving.scorer import Scorer
from simulation.spec import WorldSpec
from simulation.world import World

SPEC = WorldSpec(seed=12, n_profiles=150, n_titles=30)
N_PAGES, N_DAYS = 300, 3


class Platform:
    """The same service through scorer, event log, lake and feature tables."""

    def __init__(self, home: Path, world: World) -> None:
        self.settings = Settings(home=home, attribution_window_hours=6.0, attribution_grace_hours=1.0)
        self.world, self.ids = world, SimulatedIds(world)
        self.scorer = Scorer(self.settings, InMemoryFeatures(), new_page_id=self.ids)
        write_catalogue(world.catalogue(), self.settings.catalogue_path)

    def run(self, interval: Interval, features: InMemoryFeatures) -> None:
        self.scorer.features, self.scorer.index = features, build_index(self.world.catalogue(), features)
        simulate(self.settings, interval, world=self.world, scorer=self.scorer, ids=self.ids, n_pages=N_PAGES)
        for step in (ingest, attribute, build_features):
            step(self.settings, interval)

    def view(self, name: str, interval: Interval) -> pa.Table:
        return pq.read_table(view_path(self.settings, name, interval.key), partitioning=None)


def online(days: list[dict[str, pa.Table]], known: list[Interval]) -> InMemoryFeatures:
    """Hold the newest row of each key, as Feast's online store would after materialising every interval."""
    profiles, titles, artworks = {}, {}, {}
    for views, interval in zip(days, known, strict=True):
        familiar = {row["profile_id"]: row for row in views["profile_familiarity"].to_pylist()}
        for row in views["profile_taste"].to_pylist():
            met = familiar[row["profile_id"]]
            profiles[row["profile_id"]] = (
                ProfileFeatures(
                    vector=np.array(row["vector"], np.float32),
                    title_keys=np.array(met["title_keys"], np.int64).view(np.uint64),
                    minutes=np.array(met["minutes"], np.float32),
                    impressions=np.array(met["impressions"], np.float32),
                ),
                interval.end_at,
            )
        for vectors, view, key in ((titles, "title_profile", "title_id"), (artworks, "artwork_profile", "artwork_id")):
            vectors |= {row[key]: np.array(row["vector"], np.float32) for row in views[view].to_pylist()}
    return InMemoryFeatures(profiles, titles, artworks)


def test_decisions_rewards_and_features_are_those_of_the_platform_cell_for_cell(tmp_path: Path) -> None:
    loop = ClosedLoop(World(SPEC), loop_settings(), N_PAGES)
    platform = Platform(tmp_path, World(SPEC))
    built: list[dict[str, pa.Table]] = []
    intervals: list[Interval] = []
    for _ in range(N_DAYS):
        made = loop.run_day(UniformPolicy())
        platform.run(made.interval, online(built, intervals))
        views = {name: platform.view(name, made.interval) for name in loop.features.latest.views}
        for name, rows in views.items():
            assert len(rows) > 0
            assert rows.equals(loop.features.latest.views[name]), (name, made.interval.key)
        same_decisions(platform, made)
        built.append(views)
        intervals.append(made.interval)
    rewards = Lake(platform.settings.lake_dir).read(REWARDS, intervals[0].start_at, intervals[-1].end_at)
    found = [part.logged.reward for held_out in (True, False) for part in loop.matured(held_out=held_out)]
    assert len(rewards) == sum(len(part) for part in found) > 1_000
    assert np.asarray(rewards["reward"]).sum() == sum(part.sum() for part in found) > 100


def same_decisions(platform: Platform, made: Day) -> None:
    """Hold a day's decisions against the lake's: candidates, draws, propensities, and vectors as served."""
    logged, interval = made.decided.logged, made.interval
    lake = Lake(platform.settings.lake_dir)
    table = lake.read(DECISIONS, interval.start_at, interval.end_at).sort_by([("decided_at", "ascending")])
    rows = sorted(table.to_pylist(), key=lambda row: (row["decided_at"], row["profile_id"], row["row"], row["column"]))
    batch = logged.batch
    order = np.lexsort((np.arange(len(batch)), logged.decided_at))
    assert len(rows) == len(batch)
    assert keys_of(row["artwork_id"] for row in rows).tolist() == batch.artwork_keys[logged.chosen[order]].tolist()
    assert [row["propensity"] for row in rows] == logged.propensity[order].tolist()
    assert [len(row["actions"]) for row in rows] == batch.counts[order].tolist()
    served = np.array([np.frombuffer(row["features"], "<f4") for row in rows])
    shared = batch.shared[order]
    expected = np.concatenate(
        (shared[:, TITLE_PART.start : FAMILIARITY_PART.stop], batch.artworks[logged.chosen[order]]), axis=1
    )
    assert np.array_equal(served, expected)
    profiles = np.array([np.frombuffer(row["profile_features"], "<f4") for row in rows])
    assert np.array_equal(profiles, shared[:, PROFILE_PART])
