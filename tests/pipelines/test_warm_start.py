"""The champion's candidate learns on from the champion, and comes to what learning everything anew would give."""

from pathlib import Path

import numpy as np
import pytest

from models.bundle import read_bundle
from models.error import BundleError, ContractError
from pipelines.registry import Registry
from pipelines.settings import Settings
from pipelines.training import candidates_url, logged_progress, train_candidate
from pipelines.training_set import TrainingSet, build_training_set
from tests.pipelines.feature_world import day

NAME = "vw-epsilon"


@pytest.fixture(scope="module")
def cold(feast_world: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The shared features, with a registry of this module's own."""
    registry = tmp_path_factory.mktemp("registry") / "registry.db"
    return feast_world.model_copy(update={"registry_url": f"sqlite:///{registry}"})


@pytest.fixture(scope="module")
def warm(cold: Settings) -> Settings:
    return cold.model_copy(update={"warm_start": True})


@pytest.fixture(scope="module")
def sets(cold: Settings, tmp_path_factory: pytest.TempPathFactory) -> list[TrainingSet]:
    """The training sets as of the ends of the second and the third day."""
    home = tmp_path_factory.mktemp("sets")
    return [build_training_set(cold, day(number).end_at, home / str(number)) for number in (1, 2)]


@pytest.fixture(scope="module")
def champion(cold: Settings, sets: list[TrainingSet]) -> str:
    version = train_candidate(cold, sets[0].uri, NAME)
    Registry(cold.registry_uri).crown(version)
    return version


def test_to_learn_on_is_to_learn_all_of_it(
    cold: Settings, warm: Settings, sets: list[TrainingSet], champion: str
) -> None:
    onward, anew = (train_candidate(settings, sets[1].uri, NAME) for settings in (warm, cold))
    found, expected = (read_bundle(candidates_url(sets[1]), version) for version in (onward, anew))
    for name, array in found.policy.arrays().items():
        np.testing.assert_array_equal(array, expected.policy.arrays()[name], err_msg=name)
    for name in ("n_decisions", "learned_from_at", "learned_through_at"):
        assert getattr(found.manifest, name) == getattr(expected.manifest, name)
    assert found.manifest.files["learned.npz"] == expected.manifest.files["learned.npz"]


def test_training_again_gives_the_same_version_even_once_it_is_champion_itself(
    cold: Settings, warm: Settings, sets: list[TrainingSet], champion: str
) -> None:
    registry = Registry(cold.registry_uri)
    version = train_candidate(warm, sets[1].uri, NAME)
    registry.crown(version)
    assert train_candidate(warm, sets[1].uri, NAME) == version
    registry.restore(champion)


def test_other_candidates_and_champions_from_before_the_window_start_from_nothing(
    cold: Settings, warm: Settings, sets: list[TrainingSet], champion: str, tmp_path: Path
) -> None:
    for name in ("vw-softmax", "best-artwork"):
        assert train_candidate(warm, sets[1].uri, name) == train_candidate(cold, sets[1].uri, name)
    short = {"training_window_days": 1.0}
    later = build_training_set(cold.model_copy(update=short), day(3).end_at, tmp_path / "later")
    versions = {train_candidate(settings.model_copy(update=short), later.uri, NAME) for settings in (warm, cold)}
    assert len(versions) == 1


def test_what_does_not_fit_is_refused_by_name(
    cold: Settings, warm: Settings, sets: list[TrainingSet], champion: str, tmp_path: Path
) -> None:
    other = warm.model_copy(update={"reward_rule": "any-play-1"})
    with pytest.raises(ContractError, match=f"cannot learn on from {champion}: its reward rule is quality-play-1"):
        train_candidate(other, sets[1].uri, NAME)
    more_held_out = build_training_set(cold.model_copy(update={"holdout_share": 0.6}), day(2).end_at, tmp_path / "set")
    with pytest.raises(ContractError, match=r"its share held out is 0\.4, now it is 0\.6"):
        train_candidate(warm, more_held_out.uri, NAME)
    model = next(Path(sets[0].uri.removeprefix("file://")).glob(f"candidates/bundles/{champion}/learned.npz"))
    content = model.read_bytes()
    model.write_bytes(b"torn")
    with pytest.raises(BundleError, match=r"learned\.npz"):
        train_candidate(warm, sets[1].uri, NAME)
    model.write_bytes(content)


def test_a_tasks_log_is_told_every_few_seconds_how_far_training_has_come(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 1.0, 6.0, 6.0, 7.0, 12.0, 12.0])
    monkeypatch.setattr("pipelines.training.monotonic", lambda: next(now))
    with caplog.at_level("INFO", logger="pipelines.training"):
        tell = logged_progress(NAME)
        for n_decisions in (1_000, 60_000, 70_000, 120_000):
            tell(n_decisions)
    assert caplog.messages == ["vw-epsilon has learned 60,000 decisions", "vw-epsilon has learned 120,000 decisions"]
