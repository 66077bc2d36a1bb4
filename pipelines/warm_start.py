"""Learning on from the champion: which model, and from when on the log is new to it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from models.bundle import read_bundle
from models.candidate import Learner, candidate
from models.error import ContractError
from models.manifest import BundleManifest, path_of
from models.storage import Folder
from pipelines.registry import Registered, Registry
from pipelines.settings import Settings
from pipelines.training_set import TrainingSet


@dataclass(frozen=True, slots=True)
class Earlier:
    """A model to learn on from: its files in a folder, and what its bundle had learned."""

    directory: Path
    learned_from_at: datetime
    learned_through_at: datetime
    n_decisions: int


def earlier_model(settings: Settings, found: TrainingSet, name: str, directory: Path) -> Earlier | None:
    """Bring the model that a candidate learns on from into `directory`; None where it starts from nothing.

    It is the newest champion that had not seen the end of this training set: the same one when a round is repeated.
    A candidate starts from nothing without the setting `warm_start`, if that champion is of another candidate or ended
    before the window begins, and if its learner is none that can.

    Raises:
        ContractError: if the champion knows profiles that judge, or learned under another reward rule.
        BundleError: if its bundle is damaged or of another layout.
        MarqueeError: if the registry cannot be used.
    """
    if not settings.warm_start or candidate(name).learner is not Learner.VW:
        return None
    champion = _champion_before(Registry(settings.registry_uri), found.learned_through_at)
    if champion is None or champion.candidate != name or champion.learned_through_at < found.learned_from_at:
        return None
    manifest = read_bundle(champion.bundle_root, champion.bundle_version).manifest
    _refuse_other(settings, found, manifest)
    directory.mkdir(parents=True, exist_ok=True)
    for file in manifest.files:
        content = Folder(champion.bundle_root).read(path_of(manifest.version, file))
        (directory / file).write_bytes(content or b"")
    return Earlier(directory, manifest.learned_from_at, manifest.learned_through_at, manifest.n_decisions)


def _champion_before(registry: Registry, learned_through_at: datetime) -> Registered | None:
    found = registry.champion()
    while found is not None and found.learned_through_at >= learned_through_at:
        found = registry.find(found.replaced) if found.replaced else None
    return found


def _refuse_other(settings: Settings, found: TrainingSet, manifest: BundleManifest) -> None:
    for name, theirs, ours, fits in (
        ("reward rule", manifest.reward_rule, settings.reward_rule, manifest.reward_rule == settings.reward_rule),
        ("share held out", manifest.holdout_share, found.holdout_share, manifest.holdout_share >= found.holdout_share),
    ):
        if not fits:
            raise ContractError(f"cannot learn on from {manifest.version}: its {name} is {theirs}, now it is {ours}")
