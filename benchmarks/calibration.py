"""How much artworks differ in the simulated service and in the Upworthy archive, by the same estimators.

`python -m benchmarks.calibration FILE.svg` prints the figures of the full size, and draws them.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.between_artworks import Counts, spread
from benchmarks.chart import Bar, bar_chart
from benchmarks.shared_data import shared_data
from benchmarks.simulated_log import SimulatedLog
from models.policy import UniformPolicy
from simulation.value import Yardstick, yardstick
from simulation.world import DEMO_SPEC, World

_PAGES_A_WORLD = 8_000
"""So many that an artwork is taken about as often as one of the archive's, some fifty times."""
_PROFILES = 30_000
"""So many that hardly anybody comes twice, as in the archive: who does is shown the same artwork again."""


def run(full: bool) -> dict[str, float | int | str]:
    """Compare the archive with the first day of 6 worlds like the demo's under uniform artwork, with `full` of 24.

    The archive's tests vary headlines, images or both; `images` are those that vary the image alone, and the nearest
    to artworks. What the best artwork is worth with the archive's number of takes is less than what it would be with
    all there is to know: `true_best_lift_simulated`, which a simulator alone can tell.
    """
    rng = np.random.default_rng(0)
    every, images = _archive()
    found = {"upworthy": spread(every, rng), "upworthy_images": spread(images, rng)}
    counted = [_simulated(seed) for seed in range(24 if full else 6)]
    worlds = [counts for counts, _ in counted]
    found["simulated"] = spread(_joined(worlds), rng)
    return {
        **{f"cv_{name}": one.cv for name, one in found.items()},
        **{f"best_lift_{name}": one.best_lift for name, one in found.items()},
        "true_best_lift_simulated": float(np.mean([lift for _, lift in counted])),
        **{f"n_tests_{name}": len(one.start) for name, one in (("upworthy", every), ("upworthy_images", images))},
        "n_titles_simulated": sum(len(world.start) for world in worlds),
        "takes_per_artwork_upworthy": float(every.takes.mean()),
        "takes_per_artwork_simulated": float(_joined(worlds).takes.mean()),
    }


def picture(figures: dict[str, float | int | str]) -> str:
    """Draw the figures of `run`."""
    names = {"upworthy": "Upworthy, all tests", "upworthy_images": "Upworthy, images alone", "simulated": "simulated"}
    measures = {"cv": "coefficient of variation", "best_lift": "best over random"}
    bars = [
        Bar(f"{words}: {measure}", float(figures[f"{key}_{name}"]), "simulated" if name == "simulated" else "archive")
        for key, measure in measures.items()
        for name, words in names.items()
    ]
    return bar_chart(bars, title="How much a title's artworks differ", x_label="as a share of the title's mean")


def _archive() -> tuple[Counts, Counts]:
    """Read the archive: all tests, and those whose packages have one headline and several images."""
    columns = ["test_id", "headline", "eyecatcher_id", "impressions", "clicks"]
    table = pq.read_table(shared_data("upworthy") / "packages.parquet", columns=columns).to_pandas()
    kinds = table.groupby("test_id")[["headline", "eyecatcher_id"]].nunique()
    alone = kinds.index[(kinds["headline"] == 1) & (kinds["eyecatcher_id"] > 1)]
    every, images = (
        Counts.of(part["test_id"].to_numpy(str), part["impressions"].to_numpy(), part["clicks"].to_numpy())
        for part in (table, table[table["test_id"].isin(alone)])
    )
    return every, images


def _simulated(seed: int) -> tuple[Counts, float]:
    """Show one world's first day uniformly and count, as the archive does, what was seen and what was taken.

    Returns: the counts, and what each title's truly best artwork takes more than uniform, as a share of it.
    """
    world = World(replace(DEMO_SPEC, seed=seed, n_profiles=_PROFILES))
    seen = taken = np.zeros(len(world.shelf.artwork_ids), dtype=np.int64)
    worth: list[Yardstick] = []
    for chunk in SimulatedLog(world).days(UniformPolicy(), 1, _PAGES_A_WORLD):
        shown = chunk.artwork[chunk.logged.chosen]
        seen = seen + _count(shown[chunk.response.seen], len(seen))
        taken = taken + _count(shown[chunk.response.quality], len(seen))
        if not worth:
            worth.append(yardstick(chunk.logged.batch.offsets, chunk.artwork, chunk.truth))
    return Counts.of(world.shelf.title_of, seen, taken), worth[0].best_artwork_lift


def _count(artwork: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    return np.bincount(artwork, minlength=n)


def _joined(parts: list[Counts]) -> Counts:
    first = np.cumsum([0, *(len(part.takes) for part in parts)])
    start = np.concatenate([part.start + at for part, at in zip(parts, first, strict=False)])
    return Counts(
        start,
        np.concatenate([part.impressions for part in parts]),
        np.concatenate([part.takes for part in parts]),
    )


def main() -> None:
    """Write the picture."""
    figures = run(full=True)
    Path(sys.argv[1]).write_text(picture(figures), encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
