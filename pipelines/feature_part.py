"""The parts of feature views that Feast reads; where it stumbles over one, that one is named."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from models.error import ContractError
from pipelines.contract import refuse_other_widths
from pipelines.feature_rows import VIEWS, WIDTHS
from pipelines.part import read_part
from pipelines.settings import Settings


def view_parts(settings: Settings, view: str) -> list[Path]:
    """List a view's parts, the oldest first."""
    return sorted((settings.features_dir / view).glob("*/part.parquet"))


def read_view_part(path: Path, view: str) -> pa.Table:
    """Read a view's part whose every value is there, and whose vectors are as long as the layout.

    Raises:
        ContractError: naming file and column.
    """
    rows, key = read_part(path, VIEWS[view]), VIEWS[view].names[0]
    lists = [name for name in rows.column_names if pa.types.is_list(rows[name].type)]
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if column.null_count or (name in lists and pc.list_flatten(column).null_count):
            raise ContractError(f"{view}.{name} must hold no null ({path})")
    if view in WIDTHS:
        refuse_other_widths(view, rows, key, WIDTHS[view], f" in {path}")
    elif any(pc.list_value_length(rows[name]) != pc.list_value_length(rows[lists[0]]) for name in lists):
        raise ContractError(f"{view}: {', '.join(lists)} must be of one length in each row ({path})")
    return rows


@contextmanager
def naming_broken_parts(settings: Settings, views: Iterable[str]) -> Iterator[None]:
    """Run Feast over some views: an error of its engine that a broken part explains names that part.

    Raises:
        ContractError: naming the first part that is not what it must be; it stays broken however often it is tried.
        Whatever the engine raised, where every part is sound.
    """
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError):
        for view in views:
            for path in view_parts(settings, view):
                read_view_part(path, view)
        raise
