"""A bundle of the small world, as the tests of bundles and of the pointer write it."""

from datetime import UTC, datetime
from typing import Any

from models.bundle import write_bundle
from models.manifest import BundleManifest
from tests.models.conftest import Fitted
from tests.models.world import World

FROM_AT = datetime(2026, 11, 1, tzinfo=UTC)
THROUGH_AT = datetime(2026, 11, 8, tzinfo=UTC)


def written(root: str, trained: Fitted, **changes: Any) -> BundleManifest:
    sample, _ = World(seed=1).decisions(100, part=5)
    given: dict[str, Any] = {
        "candidate": "vw-softmax",
        "fitted": trained("vw-softmax"),
        "fallback": trained("best-artwork").policy,
        "sample": sample,
        "learned_from_at": FROM_AT,
        "learned_through_at": THROUGH_AT,
        "n_decisions": 8_000,
        "reward_rule": "quality-play-1",
        "holdout_share": 0.4,
    }
    return write_bundle(root, **{**given, **changes})
