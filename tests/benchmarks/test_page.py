"""The kernel's benchmark compares two ways to the same probabilities, and would say so if they were not the same."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.page import N_ARTWORKS, measure
from benchmarks.page_world import PageWorld
from benchmarks.vw_page import VwPages
from models.error import MarqueeError
from models.fitted import FittedPolicy


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[PageWorld, FittedPolicy]:
    world = PageWorld.random(n_titles=50, n_artworks=N_ARTWORKS)
    return world, world.train(Path(tmp_path_factory.mktemp("page")), n=2_000)


def test_kernel_and_vowpal_wabbit_agree_and_the_kernel_is_faster(trained) -> None:
    world, fitted = trained
    pages = VwPages(fitted.files["model.vw"], fitted.policy.exploration)
    found = measure(world, fitted.policy, pages, rounds=1)
    assert found["most_apart"] <= 1e-5
    assert found["uncompiled_apart"] <= 1e-9
    assert found["built_us"] > 0
    whole = found["built_us"] + found["kernel_us"]
    assert found["speedup_built"] == pytest.approx(found["vowpal_wabbit_us"] / whole)
    assert found["speedup_built"] < found["speedup"]
    assert found["speedup"] > 20  # far below the figure: a test's machine may be anything


def test_another_model_is_told_apart(trained, tmp_path) -> None:
    world, fitted = trained
    other = world.train(tmp_path, n=1_500, seed=9)
    with pytest.raises(MarqueeError, match="agree within"):
        measure(world, fitted.policy, VwPages(other.files["model.vw"], other.policy.exploration), rounds=1)


def test_the_first_artworks_of_every_title_keep_their_vectors() -> None:
    world = PageWorld.random(4, 3)
    smaller = world.first(2)
    np.testing.assert_array_equal(smaller.artworks, world.artworks[[0, 1, 3, 4, 6, 7, 9, 10]])
    assert smaller.artwork_ids == ["t0-a0", "t0-a1", "t1-a0", "t1-a1", "t2-a0", "t2-a1", "t3-a0", "t3-a1"]
