"""The parts of feature views that Feast reads; where it stumbles over one, that one is named."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.feature_rows import VIEWS
from pipelines.part import read_part
from pipelines.settings import Settings


def view_parts(settings: Settings, view: str) -> list[Path]:
    """List a view's parts, the oldest first."""
    return sorted((settings.features_dir / view).glob("*/part.parquet"))


@contextmanager
def naming_broken_parts(settings: Settings, views: Iterable[str]) -> Iterator[None]:
    """Run Feast over some views: an error of its engine that a broken part explains names that part.

    Raises:
        ContractError: naming the first part that cannot be read; it stays broken however often it is tried.
        Whatever the engine raised, where every part is sound.
    """
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError):
        for view in views:
            for path in view_parts(settings, view):
                read_part(path, VIEWS[view])
        raise
