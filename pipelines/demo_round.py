"""What the simulator knows of a round of the demo: the true value of every policy."""

import numpy as np

from pipelines.replay import Round, policies_of
from pipelines.settings import Settings
from pipelines.training_set import Side, iter_training_batches
from pipelines.truth import read_truth


def true_values(settings: Settings, found: Round) -> dict[str, float]:
    """Ask the simulator for the exact take fraction of every policy of a round, over the decisions it was judged on."""
    policies = policies_of(settings, found.candidates_url, found.versions, found.champion)
    sums, n = dict.fromkeys(policies, 0.0), 0
    for logged in iter_training_batches(found.training_uri, Side.JUDGE, holdout_share=found.holdout_share):
        _, chances = read_truth(settings, logged.decision_ids.tolist())
        n += len(logged)
        for name, policy in policies.items():
            sums[name] += float(np.dot(policy.pmf(logged.batch), chances))
    return {name: total / n for name, total in sums.items()}
