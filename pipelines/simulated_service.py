"""A simulated streaming service in a HOME: its world, its catalogue and a scorer that serves it, put together."""

from datetime import timedelta

from models.error import ContractError
from models.interval import Interval
from pipelines.settings import Settings
from pipelines.simulate import Progress, Simulated, SimulatedIds, simulate
from serving.catalogue_file import read_catalogue, write_catalogue
from serving.catalogue_index import build_index
from serving.features import InMemoryFeatures, OnlineFeatures
from serving.policy_source import BundlePolicySource
from serving.scorer import Scorer
from simulation.spec import WorldSpec
from simulation.traffic import pages_in
from simulation.world import World


class SimulatedService:
    """Visitors of a simulated world, served by the scorer's own code under whatever policy is published.

    Args: features, the online store that the scorer reads; every profile is cold where none is given.

    Raises:
        ContractError: if HOME holds the catalogue of something else.
    """

    def __init__(self, settings: Settings, world: World, features: OnlineFeatures | None = None) -> None:
        self._settings, self._world = settings, world
        self._features = features or InMemoryFeatures()
        self._ids = SimulatedIds(world)
        self._scorer = Scorer(settings, self._features, new_page_id=self._ids)
        self._policies = BundlePolicySource(settings.policies_url)
        _claim_catalogue(settings, world)

    def run(self, interval: Interval, n_pages_a_day: int, progress: Progress | None = None) -> Simulated:
        """Simulate an interval with the features and the policy that are online now; one that is there stays."""
        self._scorer.index = build_index(read_catalogue(self._settings.catalogue_path), self._features)
        self._scorer.policy = self._policies.poll() or self._scorer.policy
        return simulate(
            self._settings,
            interval,
            world=self._world,
            scorer=self._scorer,
            ids=self._ids,
            n_pages=pages_in(interval, n_pages_a_day),
            progress=progress,
        )


def simulate_days(
    settings: Settings,
    first: Interval,
    n_days: int,
    *,
    n_pages_a_day: int,
    spec: WorldSpec,
    progress: Progress | None = None,
) -> list[Simulated]:
    """Simulate days of traffic in intervals as long as the first, under what is published in HOME now."""
    from serving.feast_features import open_features
    from serving.feature_store import apply_feature_repo

    apply_feature_repo(settings)
    service = SimulatedService(settings, World(spec), open_features(settings))
    whole = Interval(first.start_at, first.start_at + timedelta(days=n_days))
    hours = (first.end_at - first.start_at) / timedelta(hours=1)
    return [service.run(interval, n_pages_a_day, progress) for interval in whole.split(hours)]


def _claim_catalogue(settings: Settings, world: World) -> None:
    catalogue, path = world.catalogue(), settings.catalogue_path
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_catalogue(catalogue, path)
    elif read_catalogue(path).artworks.keys() != catalogue.artworks.keys():
        raise ContractError(f"a simulated service needs a MARQUEE_HOME of its own, {path} holds another catalogue")
