"""The catalogue on disk: one parquet file, a row for every artwork with its title's columns repeated.

A title without artworks has one row whose artwork columns are null. Rows follow the catalogue: titles in order, and
each title's artworks in order.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from models.catalogue import Artwork, Catalogue, Title
from models.error import ContractError
from serving.pace import rest

_TIME = pa.timestamp("us", tz="UTC")
_WEIGHTS = pa.map_(pa.string(), pa.float64())
_TITLE_SCHEMA: Final = pa.schema([
    ("title_id", pa.string()),
    ("title_name", pa.string()),
    ("title_launched_at", _TIME),
    ("title_tastes", _WEIGHTS),
])
_ARTWORK_SCHEMA: Final = pa.schema([
    ("artwork_id", pa.string()),
    ("artwork_launched_at", _TIME),
    ("artwork_styles", _WEIGHTS),
    ("artwork_motif", pa.string()),
    ("artwork_is_default", pa.bool_()),
])
_ELIGIBILITY_SCHEMA: Final = pa.schema([
    ("artwork_maturity", pa.int64()),
    ("artwork_countries", pa.list_(pa.string())),
])
"""Files that were written before there was eligibility have none of these: everybody may see everything."""

_BATCH_ROWS: Final = 100
"""Turned into objects at once: it stops all other threads."""

HOW_TO_MAKE_ONE: Final = "`marquee import` or `marquee simulate` makes one, or your own system does (docs/catalogue.md)"

SCHEMA: Final = pa.schema([*_TITLE_SCHEMA, *_ARTWORK_SCHEMA, *_ELIGIBILITY_SCHEMA])


def write_catalogue(catalogue: Catalogue, path: Path) -> None:
    """Replace the file at `path` in one step; the same catalogue gives the same bytes."""
    rows = [
        _title_row(title) | _artwork_row(artwork)
        for title in catalogue.titles.values()
        for artwork in (catalogue.artworks_of[title.title_id] or (None,))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with draft.open("wb") as file:
            pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_catalogue(path: Path) -> Catalogue:
    """Read a catalogue.

    Raises:
        ContractError: naming the file, and the column and row where one is wrong; or saying how one is made, if there
            is no such file.
    """
    try:
        table = pq.read_table(path, partitioning=None)
    except FileNotFoundError as error:
        raise no_catalogue(path) from error
    except (pa.ArrowException, OSError) as error:
        raise ContractError(f"not a readable parquet file: {path}: {error}") from error
    for field in _ELIGIBILITY_SCHEMA:
        if field.name not in table.schema.names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    for field in SCHEMA:
        found = table.schema.field(field.name).type if field.name in table.schema.names else "no such column"
        if found != field.type:
            raise ContractError(f"column {field.name} must be {field.type}, got {found} ({path})")
    try:
        return _parse(_rows(table.select(SCHEMA.names)))
    except (ValueError, OverflowError) as error:
        # Ours, or Python's about a moment or a text that it cannot hold.
        raise ContractError(f"{error} ({path})") from error


def no_catalogue(path: Path) -> ContractError:
    """Say that there is no catalogue, and what makes one."""
    return ContractError(f"there is no catalogue at {path}: {HOW_TO_MAKE_ONE}")


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(_BATCH_ROWS):
        yield from batch.to_pylist()
        rest()


def _parse(rows: Iterable[dict[str, Any]]) -> Catalogue:
    titles: dict[str, Title] = {}
    artworks: list[Artwork] = []
    for number, row in enumerate(rows):
        title = Title(
            title_id=_required(row, "title_id", number),
            launched_at=_required(row, "title_launched_at", number),
            tastes=_weights(row, "title_tastes", number),
            name=row["title_name"] or "",
        )
        if titles.setdefault(title.title_id, title) != title:
            raise ContractError(f"column title_*: row {number} contradicts an earlier row of title {title.title_id!r}")
        if row["artwork_id"] is None:
            continue
        artworks.append(
            Artwork(
                artwork_id=_required(row, "artwork_id", number),
                title_id=title.title_id,
                launched_at=_required(row, "artwork_launched_at", number),
                styles=_weights(row, "artwork_styles", number),
                motif=row["artwork_motif"] or "",
                is_default=bool(row["artwork_is_default"]),
                maturity=_maturity(row, number),
                countries=tuple(name.upper() for name in row["artwork_countries"] or ()),
            )
        )
    return Catalogue(titles.values(), artworks)


def _required(row: dict[str, Any], column: str, number: int) -> Any:
    if row[column] is None or not row[column]:
        raise ContractError(f"column {column} must not be empty, row {number}")
    return row[column]


def _maturity(row: dict[str, Any], number: int) -> int:
    age = int(row["artwork_maturity"] or 0)
    if age < 0:
        raise ContractError(f"column artwork_maturity must be at least 0, got {age}, row {number}")
    return age


def _weights(row: dict[str, Any], column: str, number: int) -> dict[str, float]:
    weights = dict(row[column] or ())
    for name, weight in weights.items():
        if weight is None or not isfinite(weight) or weight <= 0:
            raise ContractError(f"column {column} must weigh above 0, got {weight} for {name!r}, row {number}")
    return weights


def _title_row(title: Title) -> dict[str, object]:
    return {
        "title_id": title.title_id,
        "title_name": title.name,
        "title_launched_at": title.launched_at,
        "title_tastes": _pairs(title.tastes),
    }


def _artwork_row(artwork: Artwork | None) -> dict[str, object]:
    if artwork is None:
        return {}
    return {
        "artwork_id": artwork.artwork_id,
        "artwork_launched_at": artwork.launched_at,
        "artwork_styles": _pairs(artwork.styles),
        "artwork_motif": artwork.motif,
        "artwork_is_default": artwork.is_default,
        "artwork_maturity": artwork.maturity,
        "artwork_countries": list(artwork.countries),
    }


def _pairs(weights: Mapping[str, float]) -> list[tuple[str, float]]:
    return list(weights.items())
