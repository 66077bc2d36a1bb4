"""Members that vote."""

from dataclasses import replace

import numpy as np
import pytest

from models.ensemble import EnsemblePolicy
from models.error import ContractError
from models.exploration import Exploration, ExplorationKind
from models.linear import LinearPolicy
from tests.models.example import random_ensemble, random_linear
from tests.models.world import batch_of

VOTE = Exploration(ExplorationKind.GREEDY)


def test_members_score_as_they_would_alone() -> None:
    policy = random_ensemble(VOTE)
    batch = batch_of(np.array([1, 4, 30, 2]), np.random.default_rng(1))
    batch.artwork_keys[:5] = policy.members[0].bias_keys[:5]
    batch.shared[1, :3] = [np.nan, np.inf, 1e9]
    expected = [member.scores(batch) for member in policy.members]
    np.testing.assert_allclose(policy.scores(batch), expected, rtol=1e-12, atol=1e-12)


def test_probabilities_are_shares_of_votes_and_ties_share_alike() -> None:
    """Members with a bias each: two for artwork 1, one for 2, and one that cannot tell 1 from 3."""
    keys = np.array([1, 2, 3], dtype=np.uint64)
    votes = ([1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 1])
    members = [LinearPolicy.flat(VOTE, bias_keys=keys, bias=np.array(vote, dtype=np.float32)) for vote in votes]
    batch = batch_of(np.array([3, 2]), np.random.default_rng(1))
    batch.artwork_keys[:] = [1, 2, 3, 3, 2]
    pmf = EnsemblePolicy(tuple(members)).pmf(batch)
    np.testing.assert_allclose(pmf, [2.5 / 4, 1 / 4, 0.5 / 4, (0.5 + 0.5 + 1) / 4, (0.5 + 0.5 + 1) / 4], atol=1e-15)
    floored = [replace(member, exploration=replace(VOTE, floor=0.3)) for member in members]
    np.testing.assert_allclose(EnsemblePolicy(tuple(floored)).pmf(batch)[:3], 0.7 * pmf[:3] + 0.1, atol=1e-15)


def test_one_member_is_the_member() -> None:
    rule = Exploration(ExplorationKind.SQUARECB, 5.0, floor=0.1)
    batch = batch_of(np.array([3, 8]), np.random.default_rng(2))
    member = random_linear(rule)
    np.testing.assert_allclose(EnsemblePolicy((member,)).pmf(batch), member.pmf(batch), atol=1e-12)


def test_members_that_are_not_alike_are_refused() -> None:
    one = random_linear(VOTE)
    with pytest.raises(ContractError, match="at least one"):
        EnsemblePolicy(())
    for other in (replace(one, exploration=replace(VOTE, floor=0.1)), random_linear(VOTE, keys=one.bias_keys[1:])):
        with pytest.raises(ContractError, match="alike"):
            EnsemblePolicy((one, other))
