"""A page of 40 titles × 30 artworks by the kernel, and by vowpal-wabbit-next building and predicting the same page.

Both score the same candidate of VW, trained small, and must give the same probabilities. Times are the best of many, in
turns, on whatever else runs.

- `kernel_us`: scores and probabilities of a page that is laid out; `scores_us`, of which the scores.
- `built_us`: laying it out, as every request must: from the decoded request and the profile's row to what the kernel
  takes (candidates and titles looked up, familiarity, context).
- `vowpal_wabbit_us`: VW's examples made of arrays that are there, title by title, and its predictions.
- `speedup` = `vowpal_wabbit_us` ÷ `kernel_us`; `speedup_built` = `vowpal_wabbit_us` ÷ (`built_us` + `kernel_us`), in
  which our side alone begins with the request.
- `uncompiled_us`, `draw_us`: the policy as it was published, on arrays that are there; drawing, told beside.
"""

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.page_world import CANDIDATE, PageWorld
from benchmarks.vw_page import VwPages
from models.draw import draw
from models.error import MarqueeError
from models.identity import keys_of
from models.kernel import KernelPages
from models.kernel_shape import compiled
from models.layout import PROFILE
from models.shape import PublishedPolicy
from serving.catalogue_index import CatalogueIndex, build_index
from serving.features import ProfileFeatures
from serving.page_batch import PageBatch, build_page_batch
from serving.request import AskedContext, AskedTitle, PageRequest

N_TITLES, N_ARTWORKS = 40, 30
MOST_APART = 1e-5
_AT = datetime(2026, 1, 2, tzinfo=UTC)


def run(full: bool) -> dict[str, float | int | str]:
    """Time one page both ways.

    Raises:
        MarqueeError: if the two differ by more than 1e-5 in a probability.
    """
    world = PageWorld.random(n_titles=500 if full else 100, n_artworks=N_ARTWORKS)
    with tempfile.TemporaryDirectory(prefix="marquee-page-") as workdir:
        fitted = world.train(Path(workdir), n=30_000 if full else 6_000)
        pages = VwPages(fitted.files["model.vw"], fitted.policy.exploration)
        return measure(world, fitted.policy, pages, rounds=20 if full else 6)


def measure(world: PageWorld, policy: PublishedPolicy, pages: VwPages, rounds: int) -> dict[str, float | int | str]:
    """Time the kernel, the policy as it was published, VW, and the draw: microseconds, the best of all rounds."""
    index = build_index(world.catalogue(_AT), world.features())
    made = compiled(policy, index.table)
    request, profile = _asked(world)
    built = _built(request, profile, index)
    page, batch = _laid_out(built), built.batch
    pmf, asked = made.probabilities(page), pages.pmf(batch)
    apart = float(np.abs(pmf - asked).max())
    if not apart <= MOST_APART:
        raise MarqueeError(f"kernel and vowpal wabbit must agree within {MOST_APART}, they are {apart:.3g} apart")
    epochs = np.zeros(N_TITLES, dtype=np.uint64)
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, times, step in (
            ("built", 100, lambda: _laid_out(_built(request, profile, index))),
            ("kernel", 200, lambda: made.probabilities(page)),
            ("scores", 200, lambda: made.kernel.scores(page)),
            ("uncompiled", 50, lambda: policy.pmf(batch)),
            (
                "draw",
                200,
                lambda: draw(pmf, page.offsets, batch.profile_keys, batch.title_keys, batch.artwork_keys, epochs),
            ),
            ("vowpal_wabbit", 3, lambda: pages.pmf(batch)),
        ):
            best[name] = min(best.get(name, np.inf), _microseconds(step, times))
    return {
        "speedup": best["vowpal_wabbit"] / best["kernel"],
        "speedup_built": best["vowpal_wabbit"] / (best["built"] + best["kernel"]),
        **{f"{name}_us": us for name, us in best.items()},
        "most_apart": apart,
        "uncompiled_apart": float(np.abs(pmf - policy.pmf(batch)).max()),
        "n_titles": N_TITLES,
        "n_artworks": N_ARTWORKS,
        "candidate": CANDIDATE,
    }


def _asked(world: PageWorld) -> tuple[PageRequest, ProfileFeatures]:
    """Make a request for some titles of the world, and the row of a profile that has met half of all."""
    rng, n = np.random.default_rng(5), len(world.titles)
    titles = tuple(
        AskedTitle(title_id=f"t{title}", row=place // 10, column=place % 10, score=float(rng.random()))
        for place, title in enumerate(rng.choice(n, N_TITLES, replace=False))
    )
    context = AskedContext(device="tv", country="NL", language="nl", local_hour=20, day_of_week=4)
    met = keys_of([f"t{title}" for title in rng.choice(n, n // 2, replace=False)])
    vector, minutes = (rng.normal(size=size).astype(np.float32) for size in (len(PROFILE), len(met)))
    row = ProfileFeatures(vector, met, np.abs(minutes), np.ones(len(met), dtype=np.float32))
    return PageRequest(profile_id="p", titles=titles, context=context), row


def _built(request: PageRequest, profile: ProfileFeatures, index: CatalogueIndex) -> PageBatch:
    return build_page_batch([(request, profile)], index, _AT)


def _laid_out(built: PageBatch) -> KernelPages:
    page = built.kernel_pages
    if page is None:
        raise MarqueeError("a page of the catalogue's own artworks must be one for the kernel")
    return page


def _microseconds(step: Callable[[], object], times: int) -> float:
    began = perf_counter()
    for _ in range(times):
        step()
    return (perf_counter() - began) / times * 1e6
