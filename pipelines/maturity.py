"""How much of a training set's window is known: decisions with a reward among all that were seen."""

from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.column import TIME
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.table import IMPRESSIONS
from pipelines.training_set import TrainingSet


def matured_share(settings: Settings, found: TrainingSet) -> float:
    """Divide the decisions with a reward by those and the ones that are still open as of the training set.

    Open are decisions with an impression that matures only later. A decision that was seen again from a cache counts
    among them although its first impression has matured: the share is never too high.
    """
    open_since = found.as_of - settings.maturity
    seen = Lake(settings.lake_dir).read(
        IMPRESSIONS,
        open_since - timedelta(hours=settings.interval_hours),
        found.as_of,
        columns=["decision_id"],
        where=(pc.field("seen_at") >= pa.scalar(open_since, TIME))
        & (pc.field("seen_at") < pa.scalar(found.as_of, TIME)),
    )
    n_open = pc.count_distinct(seen["decision_id"]).as_py()
    total = found.n_decisions + n_open
    return found.n_decisions / total if total else 0.0
