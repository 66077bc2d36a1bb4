"""Which kernel each published shape is compiled to, and the proof that both say the same."""

from typing import Final

import numpy as np

from models.ensemble import EnsemblePolicy
from models.error import ContractError
from models.kernel import ArtworkTable, CompiledPolicy, Kernel, KernelPages, random_page
from models.kernel_compact import ThompsonKernel, UpperBoundKernel
from models.kernel_linear import EnsembleKernel, LinearKernel
from models.linear import LinearPolicy
from models.shape import PublishedPolicy
from models.thompson import ThompsonPolicy
from models.upper_bound import UpperBoundPolicy

APART: Final = 1e-9
"""How far a compiled score may be from the policy's own; beyond ±1, as a part of it."""


def compiled(policy: PublishedPolicy, table: ArtworkTable) -> CompiledPolicy:
    """Lay a policy out over a table.

    Raises:
        ContractError: if the policy is of no shape that has a kernel.
    """
    launch = policy.exploration.launch
    return CompiledPolicy(_kernel(policy, table), None if launch is None else launch.is_new(table.vectors))


def _kernel(policy: PublishedPolicy, table: ArtworkTable) -> Kernel:
    match policy:
        case LinearPolicy():
            return LinearKernel(policy, table)
        case EnsemblePolicy():
            return EnsembleKernel(policy, table)
        case ThompsonPolicy():
            return ThompsonKernel(policy, table)
        case UpperBoundPolicy():
            return UpperBoundKernel(policy, table)
        case _:
            raise ContractError(f"a {type(policy).__name__} has no kernel")


def hold_to_policy(made: CompiledPolicy, policy: PublishedPolicy, table: ArtworkTable, *, n_titles: int = 16) -> float:
    """Score a page of single artworks, spread over the table, both ways.

    Returns: the greatest difference of a score, at most `APART`.

    Raises:
        ContractError: if a score differs by more.
    """
    n = min(n_titles, len(table.keys))
    if not n:
        return 0.0
    rows = np.linspace(0, len(table.keys) - 1, n).astype(np.int64)
    batch = random_page(table, rows, np.ones(n, dtype=np.int64), seed=1)
    expected, found = policy.scores(batch), made.kernel.scores(KernelPages.of(batch, rows))
    apart = np.abs(found - expected) / np.maximum(np.abs(expected), 1.0)
    worst = float(apart.max(initial=0.0))
    if not worst <= APART:
        raise ContractError(f"compiled scores must be within {APART} of the policy's own, they are {worst:.3g} apart")
    return worst
