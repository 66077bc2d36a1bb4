"""Every peer learns what it can from a log, and the comparison is of the same decisions."""

import numpy as np
import pytest

from benchmarks.peer_learner import peers
from benchmarks.peers import OUR_VW, OURS, Size, measure
from models.policy import UniformPolicy
from tests.models.world import World

MODULES = {
    "vowpal_wabbit_next": "vowpal_wabbit_next",
    "mabwiser_linucb": "mabwiser",
    "mabwiser_lints": "mabwiser",
    "contextualbandits_linucb": "contextualbandits",
}


@pytest.mark.parametrize("name", MODULES)
def test_a_peer_is_better_than_chance_where_taste_decides(name: str) -> None:
    pytest.importorskip(MODULES[name], reason="comes with the dependency group peers")
    world, peer = World(seed=3, n_titles=3, match=0.8), peers()[name]()
    peer.fit(list(world.log(6_000)))
    batch, chances = world.decisions(400, part=77)
    pmf = peer.pmf(batch)
    np.testing.assert_allclose(np.add.reduceat(pmf, batch.offsets[:-1]), 1.0, atol=1e-6)
    uniform = UniformPolicy().pmf(batch) @ chances / 400
    assert pmf @ chances / 400 > 1.05 * uniform


def test_all_peers_of_the_group_are_listed_or_none_but_vw() -> None:
    assert set(peers()) <= set(MODULES)
    assert "vowpal_wabbit_next" in peers()


@pytest.mark.slow
def test_a_small_comparison_has_every_figure() -> None:
    figures = measure(Size((3,), 2, 3_000, 100))
    names = str(figures["peers"]).split()
    assert set(names) == set(peers())
    assert 0.5 < float(figures["value_vs_best_peer"]) < 2.0
    assert float(figures["speed_vs_best_python_peer"]) > 0
    for name in (*names, OURS, OUR_VW):
        assert 0.05 < float(figures[f"value_{name}"]) < 0.5
        assert float(figures[f"decisions_per_second_{name}"]) > 0
