"""One interval through every step of the loop, timed by stage: what `loop` and `day` measure."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from benchmarks.memory import child_peak_mib, forget_own_peak, own_peak_mib
from models.interval import Interval
from pipelines.attribution import attribute
from pipelines.feature_tables import build_features
from pipelines.ingest import ingest
from pipelines.materialize import materialize
from pipelines.promotion import judge_candidates
from pipelines.replay import evaluate_candidates
from pipelines.settings import Settings
from pipelines.simulated_service import SimulatedService
from pipelines.training import candidate_names, train_candidate
from pipelines.training_set import build_training_set
from serving.feature_store import apply_feature_repo
from simulation.world import DEMO_SPEC, World

T = TypeVar("T")

_DECISIONS_A_PROFILE = 25


def prepare(home: Path, candidates: tuple[str, ...]) -> Settings:
    """Make a home whose rewards mature within the day, with Feast set up; heavy imports are done before any stage."""
    settings = Settings(
        home=home,
        interval_hours=24.0,
        attribution_window_hours=6.0,
        attribution_grace_hours=1.0,
        candidates=candidates,
    )
    apply_feature_repo(settings)
    # Feast and MLflow take seconds to import, once for each process however much it does.
    for slow in ("feast", "mlflow"):
        import_module(slow)

    return settings


def simulate_day(settings: Settings, n_decisions: int) -> tuple[Interval, int]:
    """Simulate the day's log, each profile with 25 decisions; returns the interval and how many it holds."""
    spec = replace(DEMO_SPEC, n_profiles=n_decisions // _DECISIONS_A_PROFILE)
    interval = Interval(spec.first_day_at, spec.first_day_at + timedelta(days=1))
    made = SimulatedService(settings, World(spec)).run(interval, n_decisions // spec.page_titles)
    return interval, made.n_decisions


@dataclass(frozen=True, slots=True)
class Stages:
    """What each stage took, by name: seconds, and the most that this process or a child of it has held meanwhile.

    Children are told apart only where a later one holds more than all before it.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)

    def time(self, stage: str, step: Callable[[], T]) -> T:
        """Do one stage."""
        forget_own_peak()
        held = child_peak_mib()
        began = perf_counter()
        result = step()
        self.seconds[stage] = perf_counter() - began
        child = child_peak_mib()
        self.peak_mib[stage] = max(own_peak_mib(), child if child > held else 0.0)
        return result


def run_interval(settings: Settings, interval: Interval) -> tuple[Stages, int, tuple[object, ...]]:
    """Do everything once: what the stages took, rows that changed in any table, and what the later stages made."""
    watch = Stages()
    ingested = watch.time("ingest", lambda: ingest(settings, interval))
    attributed = watch.time("attribution", lambda: attribute(settings, interval))
    built = watch.time("features", lambda: build_features(settings, interval))
    watch.time("materialize", lambda: materialize(settings, interval))
    found = watch.time("training_set", lambda: build_training_set(settings, interval.end_at))
    names = candidate_names(settings)
    versions = watch.time("training", lambda: [train_candidate(settings, found.uri, name) for name in names])
    uri = watch.time("replay", lambda: evaluate_candidates(settings, found.uri, versions))
    judged = watch.time("gate", lambda: judge_candidates(settings, uri))
    n_changed = ingested.n_changed + attributed.n_changed + built.n_changed
    return watch, n_changed, (found.data_version, versions, judged.path.read_bytes())


def peak_mib() -> float:
    """Tell the most memory that this process or one of its children has held."""
    return max(own_peak_mib(), child_peak_mib())
