"""Real bundles of a small linear policy, and ways to spoil them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from models.batch import Batch
from models.bundle import move_pointer, read_pointer, write_bundle
from models.exploration import Exploration, ExplorationKind
from models.fitted import FittedPolicy
from models.identity import keys_of
from models.layout import ARTWORK, SHARED
from models.linear import LinearPolicy
from models.manifest import BundleManifest
from models.pointer import Pointer

LEARNED_AT = datetime(2026, 11, 1, tzinfo=UTC)


def sample_batch() -> Batch:
    """Two decisions with two candidates each."""
    generator = np.random.default_rng(0)
    return Batch(
        offsets=np.array([0, 2, 4]),
        profile_keys=keys_of(["p", "q"]),
        title_keys=keys_of(["t0", "t1"]),
        artwork_keys=keys_of(["t0-a0", "t0-a1", "t1-a0", "t1-a1"]),
        shared=generator.normal(size=(2, len(SHARED))).astype(np.float32),
        artworks=generator.normal(size=(4, len(ARTWORK))).astype(np.float32),
    )


def favouring(artwork_id: str, epsilon: float) -> LinearPolicy:
    """Show one artwork with probability 1 − ε + ε/K wherever it is a candidate."""
    return LinearPolicy.flat(
        Exploration(ExplorationKind.EPSILON, parameter=epsilon),
        bias_keys=keys_of([artwork_id]),
        bias=np.array([1.0], dtype=np.float32),
    )


def tasteful(seed: int) -> LinearPolicy:
    """A policy to which every feature and the artwork itself matter."""
    generator = np.random.default_rng(seed)
    artworks = [f"t{n}-a{k}" for n in range(3) for k in range(4)]
    keys = np.sort(keys_of(artworks))
    return LinearPolicy.flat(
        Exploration(ExplorationKind.SOFTMAX, parameter=2.0, floor=0.05),
        shared_weights=generator.normal(size=len(SHARED)).astype(np.float32),
        cross=generator.normal(size=(len(SHARED), len(ARTWORK))).astype(np.float32),
        artwork_weights=generator.normal(size=len(ARTWORK)).astype(np.float32),
        bias_keys=keys,
        bias=generator.normal(size=len(keys)).astype(np.float32),
    )


def write_policy(
    root_url: str, artwork_id: str, *, epsilon: float = 0.4, day: int = 0, policy: LinearPolicy | None = None
) -> BundleManifest:
    """Write a bundle that favours one artwork, or holds the policy that is given, learned through some day."""
    learned_at = LEARNED_AT + timedelta(days=day)
    return write_bundle(
        root_url,
        candidate="epsilon",
        fitted=FittedPolicy(policy or favouring(artwork_id, epsilon)),
        fallback=favouring("t0-a2", 0.0),
        sample=sample_batch(),
        learned_from_at=LEARNED_AT - timedelta(days=28),
        learned_through_at=learned_at,
        n_decisions=100,
        reward_rule="quality-play-1",
        holdout_share=0.4,
    )


def publish(root_url: str, manifest: BundleManifest, *, rollback: bool = False) -> None:
    """Make a bundle the live one, as the publishing step does."""
    live = read_pointer(root_url)
    pointer = Pointer.to(manifest, published_at=datetime.now(UTC), previous=live.version if live else None)
    move_pointer(root_url, pointer, rollback=rollback)


def bundle_file(policies: Path, manifest: BundleManifest, name: str) -> Path:
    """Find a file of a bundle on disk."""
    return policies / "bundles" / manifest.version / name
