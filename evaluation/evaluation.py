"""Judge policies on a log of decisions that another policy drew.

The log is read twice, batch by batch: once for the reward model, once for the estimators. What stays in memory is a row
of sums for each profile, and from `max_clusters` profiles on for groups of profiles.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from evaluation.ledger import Ledger
from evaluation.record import Evaluation
from evaluation.reward_model import RewardModel, fit_reward_model
from evaluation.segment import CountryCount
from models.batch import LoggedBatch
from models.error import ContractError
from models.policy import Policy

MAX_CLUSTERS = 65_536


def evaluate(
    policies: Mapping[str, Policy],
    batches: Callable[[], Iterator[LoggedBatch]],
    *,
    champion: str,
    confidence: float = 0.95,
    fit: Callable[[Iterator[LoggedBatch]], RewardModel] = fit_reward_model,
    bootstrap: np.random.Generator | None = None,
    max_clusters: int = MAX_CLUSTERS,
) -> Evaluation:
    """Estimate the value of every policy, and how far each is from the champion.

    Candidates must not have learned from the decisions of these profiles: pass held-out profiles only
    (`models.assignment.is_held_out`).

    Args:
        policies: by name; the champion is one of them, every other one is compared with it.
        batches: gives a new iterator over the same log each time.
        champion: the name of the policy that is live.
        confidence: of every two-sided interval.
        fit: makes the reward model from one pass over the log; without that pass, no country is told from another.
        bootstrap: with it, comparisons also carry an interval over resampled profiles.
        max_clusters: how many rows of sums are kept at most.

    Raises:
        ContractError: if the log is empty, has one profile, or is not the same in both passes; if a pmf is not one
            (naming decision_id and value); if the champion is not among the policies.
    """
    if champion not in policies:
        raise ContractError(f"champion must be one of {sorted(policies)}, got {champion!r}")
    n_fitted, countries = 0, CountryCount()

    def counted() -> Iterator[LoggedBatch]:
        nonlocal n_fitted
        for logged in batches():
            n_fitted += len(logged)
            countries.add(logged)
            yield logged

    model = fit(counted())
    ledger = Ledger(policies, champion, model, max_clusters, countries.top())
    for logged in batches():
        if len(logged):
            ledger.add(logged)
    if n_fitted not in (0, ledger.n_decisions):
        raise ContractError(
            f"batches must give the same log each time, got {n_fitted} decisions and then {ledger.n_decisions}"
        )
    return ledger.evaluation(confidence, bootstrap)
