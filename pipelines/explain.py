"""`marquee explain`: why a profile sees the artwork it sees, told by the scorer's own parts.

Features, candidates, probabilities and draw come from the same functions that answer a page, so that the explanation is
the decision taken apart and not a second opinion; nothing is logged.
"""

from datetime import datetime

import msgspec
import numpy as np

from models.batch import Batch, Floats
from models.contribution import contributions
from models.decision import Cell, Page
from models.draw import drawn_with, gumbel
from models.error import ContractError
from models.policy import Policy, UniformPolicy
from models.shape import SHAPES
from pipelines.policy_lookup import find_policy
from pipelines.settings import Settings
from serving.catalogue_refresh import CatalogueRefresh
from serving.features import OnlineFeatures
from serving.ladder import DefaultPolicy
from serving.late_features import LateFeatures
from serving.lookup import Lookup, look_up
from serving.page_batch import PageBatch, build_page_batch
from serving.policy import LoadedPolicy
from serving.policy_source import BundlePolicySource
from serving.request import PageRequest
from serving.scorer import Scorer


class ExplainedArtwork(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate: its probability, its score split by group of features, and what the draw made of it.

    `score` is the sum of `parts`: the mean over the members of a policy that has several. `noise` is the Gumbel noise
    of this profile, title, artwork and epoch; the greatest `keyed`, log probability + noise, is shown, and it is None
    where the probability is 0.
    """

    artwork_id: str
    probability: float
    score: float | None
    parts: dict[str, float]
    noise: float
    keyed: float | None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One decision taken apart; `features` says `ok`, or why the profile's, or all, could not be read.

    `profile_is_known` says whether the feature store has a row of the profile that counts at that moment; None where it
    could not be read.
    """

    profile_id: str
    title_id: str
    at: datetime
    policy_version: str
    cell: str
    intent: str
    features: str
    profile_is_known: bool | None
    epoch: int
    artwork_id: str
    propensity: float
    candidates: tuple[ExplainedArtwork, ...]


def explain(
    settings: Settings,
    request: PageRequest,
    at: datetime,
    *,
    policy: str = "",
    features: OnlineFeatures | None = None,
) -> Explanation:
    """Take apart how the first title of a page would be decided.

    Args: request, whose first title is explained; at, aware UTC, the moment of the decision; policy, a name as
    `pipelines.policy_lookup` knows it, or empty for what scorers serve; features, the online store, the home's own if
    none is given.

    Raises:
        ContractError: if there is no catalogue that can be read, or no policy of that name.
        BundleError: if the policy cannot be trusted.
    """
    store = features or _online(settings)
    loaded = _named(settings, policy) if policy else BundlePolicySource(settings.policies_url).poll()
    scorer = Scorer(settings, store, index=CatalogueRefresh(settings.catalogue_path, store).build(), policy=loaded)
    lookup = look_up(store, request.profile_id, at)
    page = scorer.decide_with(lookup, request, at)
    asked = build_page_batch([(request, lookup.profile)], scorer.index, at)
    used = _used(page, loaded, asked)
    return _explained(page, asked, used, _state(store, lookup), _is_known(lookup))


def _explained(page: Page, asked: PageBatch, used: Policy, state: str, is_known: bool | None) -> Explanation:
    batch, decision = asked.batch.take(np.zeros(1, dtype=np.int64)), page.decisions[0]
    pmf = used.pmf(asked.batch)[: len(decision.actions)]
    noise = gumbel(batch.offsets, batch.profile_keys, batch.title_keys, batch.artwork_keys, _epochs(page))
    with np.errstate(divide="ignore"):
        keyed = np.log(pmf) + noise
    chosen = int(drawn_with(pmf, noise, batch.offsets)[0])
    if decision.actions[chosen] != decision.artwork_id:
        raise AssertionError(f"the scorer showed {decision.artwork_id}, explained is {decision.actions[chosen]}")
    parts = _parts(used, batch)
    return Explanation(
        profile_id=page.profile_id,
        title_id=decision.title_id,
        at=page.decided_at,
        policy_version=page.policy_version,
        cell=page.cell.value,
        intent=decision.intent,
        features=state,
        profile_is_known=is_known,
        epoch=page.epoch,
        artwork_id=decision.artwork_id,
        propensity=decision.propensity,
        candidates=tuple(
            ExplainedArtwork(
                artwork_id=name,
                probability=float(pmf[row]),
                score=float(sum(part[row] for part in parts.values())) if parts else None,
                parts={group: float(part[row]) for group, part in parts.items()},
                noise=float(noise[row]),
                keyed=float(keyed[row]) if np.isfinite(keyed[row]) else None,
            )
            for row, name in enumerate(decision.actions)
        ),
    )


def _parts(used: Policy, batch: Batch) -> dict[str, Floats]:
    """Split the scores; uniform and default choices have none."""
    return contributions(used, batch) if isinstance(used, SHAPES) else {}


def _epochs(page: Page) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array([page.epoch], dtype=np.int64).view(np.uint64)


def _used(page: Page, loaded: LoadedPolicy | None, asked: PageBatch) -> Policy:
    """Find which step of the scorer's ladder decided, by what the decision itself says."""
    if loaded is None or page.cell is Cell.UNIFORM:
        return UniformPolicy()
    steps: dict[str, Policy] = {"fallback:policy_failed": loaded.fallback, "fallback:best_failed": DefaultPolicy(asked)}
    return steps.get(page.decisions[0].intent, loaded.policy)


def _named(settings: Settings, name: str) -> LoadedPolicy:
    def refuse() -> Policy:
        raise ContractError(f"{name} is learned from a log at hand, and there is none here; name a bundle's version")

    found = find_policy(settings, name, refuse)
    return LoadedPolicy(found.name, found.policy, found.policy)


def _online(settings: Settings) -> OnlineFeatures:
    """Open the home's features as a scorer does: where there is no store yet, everybody is cold."""

    def opened() -> OnlineFeatures:
        from serving.feast_features import open_features

        return open_features(settings)

    store = LateFeatures(opened)
    store.try_open()
    return store


def _state(store: OnlineFeatures, lookup: Lookup) -> str:
    if isinstance(store, LateFeatures) and store.state != "ok":
        return store.detail or store.state
    return f"{lookup.failure}: {lookup.detail}" if lookup.failure else "ok"


def _is_known(lookup: Lookup) -> bool | None:
    return None if lookup.failure else lookup.profile is not None
