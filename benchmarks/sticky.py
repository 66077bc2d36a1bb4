"""How often a profile sees another artwork for a title: within an epoch, after a promotion, after a new artwork.

A week of the whole loop under one policy, in the epochs that are shipped, 24 hours (`benchmarks.sticky_week`):

- `changes_within_epoch`: of the (profile, title) pairs that come again within an epoch, the share that saw more than
  one artwork, under the policy that the demo promotes and with the rows of the nightly batch, which ends an hour into
  the day: the epoch waits for it; `changes_within_epoch_fresh`, with rows fresh within seconds, as beside
  `marquee freshen`; `changes_within_epoch_context`, with rows that stay as the epoch found them, so that only the
  request differs.
- `..._nightly_NAME`, `..._fresh_NAME`, `..._context_NAME`: the same of each of three shapes of policy.

The draw alone, changes per (profile, title) in 7 days: profiles come back three times a day, at any hour and with
titles in any order, while nothing that is known of anybody changes, and the epoch is 7 days:

- `changes_of_draw`: without a reason, 0 by construction; `changes_of_draw_at_epoch_ends`, with epochs of a day.
- `changes_after_promotion`, `changes_after_new_artwork`: with one such event, at the beginning of day 3;
  `bound_after_...`, the coupling's: a pmf that moves by total variation δ moves at most 2δ/(1 + δ) of the profiles.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.page_world import PageWorld
from benchmarks.sticky_week import LIVE, ROWS, Size, changes_in_a_week
from models.catalogue import Catalogue
from models.layout import PROFILE
from models.shape import PublishedPolicy
from serving.catalogue_index import CatalogueIndex, build_index
from serving.chosen_page import ChosenPage
from serving.features import ProfileFeatures
from serving.lookup import Lookup
from serving.page_batch import PageBatch, build_page_batch
from serving.policy import LoadedPolicy
from serving.request import AskedContext, PageRequest
from serving.scorer import Scorer
from serving.settings import ScorerSettings

N_TITLES, N_ARTWORKS, N_DAYS = 40, 10, 7
VISITS_A_DAY: Final = 3
EVENT_DAY: Final = 3
START_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""A moment at which an epoch of 7 days begins, as epochs are counted from 1970."""

Figures = dict[str, float | int | str]


def run(full: bool) -> Figures:
    """Follow a service for a week, and some profiles for 7 days, four times."""
    size = Size(n_profiles=600, n_pages_a_day=2_000) if full else Size(n_profiles=100, n_pages_a_day=160)
    return week(size) | measure(n_profiles=1_000 if full else 60, n_logged=40_000 if full else 8_000)


def week(size: Size) -> Figures:
    """Tell the shares of pairs that changed within an epoch, of a week."""
    with tempfile.TemporaryDirectory(prefix="marquee-sticky-") as workdir:
        found = changes_in_a_week(size, Path(workdir))
    name = "changes_within_epoch"
    live = {rows: found[LIVE, rows].share_changed for rows in ROWS}
    figures: Figures = {name: live["nightly"], f"{name}_fresh": live["fresh"], f"{name}_context": live["context"]}
    figures |= {f"{name}_{rows}_{one}": pairs.share_changed for (one, rows), pairs in found.items()}
    return figures | {"live_candidate": LIVE, "n_pairs_again": found[LIVE, "nightly"].n_again}


def measure(n_profiles: int, n_logged: int) -> Figures:
    """Count changes, per (profile, title) in 7 days."""
    world = PageWorld.random(N_TITLES, N_ARTWORKS + 1)
    known = world.first(N_ARTWORKS)
    with tempfile.TemporaryDirectory(prefix="marquee-sticky-") as workdir:
        policy = known.train(Path(workdir) / "a", n_logged).policy
        promoted = known.train(Path(workdir) / "b", n_logged, seed=77).policy
    new_at = START_AT + timedelta(days=EVENT_DAY)
    whole = world.catalogue(START_AT)
    late = [replace(each, launched_at=new_at) for each in whole.artworks.values() if _is_new(each.artwork_id)]
    before = [each for each in whole.artworks.values() if not _is_new(each.artwork_id)]
    same, grown = (Catalogue(whole.titles.values(), artworks) for artworks in (before, [*before, *late]))
    quiet = _Week(world, same, policy, policy, n_profiles, N_DAYS * 24)
    promotion = replace(quiet, after=promoted)
    new_artwork = replace(quiet, catalogue=grown)
    found: Figures = {"changes_of_draw": quiet.changes()}
    for name, week in (("after_promotion", promotion), ("after_new_artwork", new_artwork)):
        found[f"changes_{name}"] = week.changes()
        found[f"bound_{name}"] = week.bound()
    found["changes_of_draw_at_epoch_ends"] = replace(quiet, stickiness_hours=24).changes()
    return found | {"n_pairs": n_profiles * N_TITLES, "visits": N_DAYS * VISITS_A_DAY}


def _is_new(artwork_id: str) -> bool:
    return artwork_id.endswith(f"-a{N_ARTWORKS}")


@dataclass(frozen=True, slots=True)
class _Week:
    """A week in which `after` replaces `before` at the beginning of the event's day."""

    world: PageWorld
    catalogue: Catalogue
    before: PublishedPolicy
    after: PublishedPolicy
    n_profiles: int
    stickiness_hours: float

    def changes(self) -> float:
        """Count how often a visit shows another artwork than the visit before, per (profile, title)."""
        scorers = self._scorers()
        n_changed = 0
        for profile in range(self.n_profiles):
            shown: dict[str, str] = {}
            for page in self._visits(scorers, profile):
                for title, artwork in zip(page.page.title_ids, page.artwork_ids, strict=True):
                    n_changed += shown.get(title, artwork) != artwork
                    shown[title] = artwork
        return n_changed / (self.n_profiles * N_TITLES)

    def bound(self) -> float:
        """Give the most that may change at the event: the mean over pairs of 2δ/(1 + δ)."""
        scorers, total = self._scorers(), 0.0
        event_at = START_AT + timedelta(days=EVENT_DAY)
        for profile in range(self.n_profiles):
            request = self._request(profile, np.random.default_rng([profile, 0]))
            old, new = (
                _pmfs(build_page_batch([(request, self._lookup(profile).profile)], scorer.index, at), policy)
                for scorer, policy, at in (
                    (scorers[0], self.before, event_at - timedelta(seconds=1)),
                    (scorers[1], self.after, event_at),
                )
            )
            for title, first in old.items():
                second = new[title]
                moved = sum(abs(second[name] - first.get(name, 0.0)) for name in second) / 2
                total += 2 * moved / (1 + moved)
        return total / (self.n_profiles * N_TITLES)

    def _scorers(self) -> tuple[Scorer, Scorer]:
        settings = ScorerSettings(stickiness_hours=self.stickiness_hours, uniform_cell_share=0.0)
        features = self.world.features()
        index: CatalogueIndex = build_index(self.catalogue, features)
        first, second = (
            Scorer(settings, features, index=index, policy=LoadedPolicy(name, policy, policy))
            for name, policy in (("before", self.before), ("after", self.after))
        )
        return first, second

    def _visits(self, scorers: tuple[Scorer, Scorer], profile: int) -> Iterator[ChosenPage]:
        rng = np.random.default_rng([profile, 1])
        for day in range(N_DAYS):
            for hours in np.sort(rng.uniform(0, 24, VISITS_A_DAY)).tolist():
                at = START_AT + timedelta(days=day, hours=hours)
                scorer = scorers[day >= EVENT_DAY]
                yield scorer.choose(self._lookup(profile), self._request(profile, rng), at)

    @staticmethod
    def _request(profile: int, rng: np.random.Generator) -> PageRequest:
        titles = tuple(f"t{n}" for n in rng.permutation(N_TITLES))
        return PageRequest(profile_id=f"p{profile}", titles=titles, context=AskedContext(device="tv"))

    @staticmethod
    def _lookup(profile: int) -> Lookup:
        rng, nothing = np.random.default_rng([profile, 2]), np.zeros(0, dtype=np.float32)
        vector = rng.normal(0.0, 0.4, len(PROFILE)).astype(np.float32)
        return Lookup(ProfileFeatures(vector, nothing.astype(np.uint64), nothing, nothing))


def _pmfs(asked: PageBatch, policy: PublishedPolicy) -> dict[str, dict[str, float]]:
    """Give each title's probabilities by artwork."""
    pmf, offsets, (page,) = policy.pmf(asked.batch).tolist(), asked.offsets.tolist(), asked.pages
    return {
        title: dict(zip(each.actions, pmf[first : first + len(each.actions)], strict=True))
        for title, each, first in zip(page.title_ids, page.found, offsets, strict=False)
    }
