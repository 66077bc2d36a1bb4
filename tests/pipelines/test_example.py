"""The demo's example tells what the scorer really answers, and admits it where tastes are not told apart."""

import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from models.exploration import Exploration, ExplorationKind
from models.layout import ARTWORK, PROFILE, SHARED, TASTES, taste_vector
from models.linear import LinearPolicy
from models.policy import UniformPolicy
from pipelines.example import N_LOVERS, PAIR, Example, find_example, stressed, words
from pipelines.example_page import example_page
from pipelines.settings import Settings
from serving.catalogue_index import build_index
from serving.features import InMemoryFeatures, ProfileFeatures
from serving.policy import LoadedPolicy
from serving.scorer import Scorer
from simulation.population import taste_names
from simulation.world import DEMO_SPEC, World

AT = DEMO_SPEC.first_day_at + timedelta(days=7)
SHARE = 0.1
NO_TITLES = np.zeros(0, dtype=np.uint64)
NO_COUNTS = np.zeros(0, dtype=np.float32)


@pytest.fixture(scope="module")
def world() -> World:
    return World(DEMO_SPEC)


def scorer_of(world: World, home: Path, policy: LinearPolicy | None) -> Scorer:
    """A scorer whose online store knows the tastes of the world, and whose policy is given."""
    names = taste_names(world.spec.n_cast)
    profiles = {}
    for name, taste in zip(world.population.ids, world.tastes.on(7), strict=True):
        vector = np.zeros(len(PROFILE), dtype=np.float32)
        vector[: len(TASTES)] = taste_vector(dict(zip(names, taste.tolist(), strict=True)))
        profiles[name] = (ProfileFeatures(vector, NO_TITLES, NO_COUNTS, NO_COUNTS), AT)
    artworks = {}
    for name, artwork in world.catalogue().artworks.items():
        artworks[name] = np.zeros(len(ARTWORK), dtype=np.float32)
        artworks[name][: len(TASTES)] = taste_vector(artwork.styles)
    features = InMemoryFeatures(profiles, {}, artworks)
    loaded = None if policy is None else LoadedPolicy("matching-1", policy, UniformPolicy())
    settings = Settings(home=home, uniform_cell_share=SHARE)
    return Scorer(settings, features, index=build_index(world.catalogue(), features), policy=loaded)


def matching() -> LinearPolicy:
    cross = np.zeros((len(SHARED), len(ARTWORK)), dtype=np.float32)
    cross[: len(TASTES), : len(TASTES)] = np.eye(len(TASTES))
    return LinearPolicy.flat(Exploration(ExplorationKind.SOFTMAX, parameter=8.0, floor=0.05), cross=cross)


@pytest.fixture(scope="module")
def example(world: World, tmp_path_factory: pytest.TempPathFactory) -> Example:
    scorer = scorer_of(world, tmp_path_factory.mktemp("home"), matching())
    return find_example(scorer, world, world.new_ledger(), AT, uniform_share=SHARE)


def test_two_tastes_are_shown_two_artworks_of_one_title(example: Example) -> None:
    assert example.differs
    assert tuple(viewer.genre for viewer in example.viewers) == PAIR
    assert tuple(stressed(viewer.shown) for viewer in example.viewers) == PAIR
    assert {viewer.shown.title_id for viewer in example.viewers} == {example.title.title_id}
    assert tuple(viewer.taste[0][0] for viewer in example.viewers) == PAIR


def test_what_is_told_is_the_policys_own_pmf_and_the_worlds_own_truth(example: Example, world: World) -> None:
    for viewer in example.viewers:
        assert viewer.propensity == viewer.pmf[viewer.shown.artwork_id]
        assert sum(viewer.pmf.values()) == pytest.approx(1.0)
        assert set(viewer.pmf) == set(viewer.truth) == {artwork.artwork_id for artwork in example.artworks}
        best = max(viewer.truth, key=lambda name: viewer.truth[name])
        assert best == world.best_artwork(viewer.profile_id, example.title.title_id, AT)
        assert 0 < viewer.n_alike <= N_LOVERS


def test_the_same_state_gives_the_same_example(example: Example, world: World, tmp_path: Path) -> None:
    again = find_example(scorer_of(world, tmp_path, matching()), world, world.new_ledger(), AT, uniform_share=SHARE)
    assert again == example


def test_a_policy_that_knows_nothing_of_taste_is_not_made_to_look_as_if(world: World, tmp_path: Path) -> None:
    blind = LinearPolicy.flat(
        Exploration(ExplorationKind.GREEDY),
        artwork_weights=np.eye(len(ARTWORK), dtype=np.float32)[TASTES.index("comedy")],
    )
    found = find_example(scorer_of(world, tmp_path, blind), world, world.new_ledger(), AT, uniform_share=SHARE)
    assert not found.differs
    assert [stressed(viewer.shown) for viewer in found.viewers] == ["comedy", "comedy"]
    assert "does not tell these two tastes apart" in words(found)[-1]
    assert "not told apart yet" in example_page(found)


def test_without_a_policy_chance_is_called_by_its_name(world: World, tmp_path: Path) -> None:
    found = find_example(scorer_of(world, tmp_path, None), world, world.new_ledger(), AT, uniform_share=SHARE)
    assert found.policy_version == "uniform"
    for viewer in found.viewers:
        assert viewer.propensity == pytest.approx(1 / len(found.artworks))
        assert viewer.n_alike < N_LOVERS


def test_the_page_shows_both_pictures_and_loads_nothing(example: Example) -> None:
    page = example_page(example)
    assert page.count("<symbol") == len(example.artworks)
    for viewer in example.viewers:
        assert f'data-artwork="{viewer.shown.artwork_id}"' in page
        assert f">{viewer.propensity:.2f}<" in page
        assert viewer.profile_id in page
    assert not re.search(r"(src|href)=\"(?!#)", page)
    assert "<script" not in page
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_words_tell_who_is_shown_what_and_how_often(example: Example) -> None:
    lines = words(example)
    assert len(lines) == 2
    for line, viewer in zip(lines, example.viewers, strict=True):
        assert line.startswith(viewer.profile_id)
        assert example.title.name in line
        assert f"{viewer.n_alike} of the {N_LOVERS}" in line
