"""Bring one interval's feature rows online, by Feast, between explicit bounds."""

import logging
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO

from models.error import NotReadyError
from models.interval import Interval
from pipelines.feature_chain import built_intervals
from pipelines.feature_part import naming_broken_parts, read_view_part
from pipelines.feature_rows import VIEWS
from pipelines.feature_tables import view_path
from pipelines.settings import Settings
from pipelines.watermark import mark_refreshed
from serving.feature_store import apply_feature_repo, open_feature_store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Materialized:
    """The rows of each view that were brought online."""

    interval: str
    n_rows: dict[str, int]


def materialize(settings: Settings, interval: Interval) -> Materialized:
    """Bring exactly this interval's rows online, then note it as refreshed.

    Its rows carry the interval's end as event time, and both of Feast's bounds are inclusive. Rows older than what is
    online are ignored there, so that a rebuilt interval never rolls an online value back.

    Raises:
        NotReadyError: if the interval's features are not built.
        ContractError: if the feature definitions are refused, or naming a part of a view that cannot be read or, and
            then nothing is brought online, holds a null or vectors of another length than the layout's.
    """
    if interval.key not in built_intervals(settings):
        raise NotReadyError(f"features of interval {interval.key} must be built before they are materialised")
    n_rows = {view: len(read_view_part(view_path(settings, view, interval.key), view)) for view in VIEWS}
    views = [view for view, n in n_rows.items() if n]
    if views:
        apply_feature_repo(settings)
        store = open_feature_store(settings)
        said = StringIO()
        with redirect_stdout(said), naming_broken_parts(settings, views):
            store.materialize(start_date=interval.end_at, end_date=interval.end_at, feature_views=views)
        _log.debug("feast: %s", said.getvalue())
    mark_refreshed(settings, interval)
    return Materialized(interval.key, n_rows)
