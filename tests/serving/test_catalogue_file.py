from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.catalogue import Artwork, Catalogue, Title
from models.error import ContractError
from serving.catalogue_file import SCHEMA, read_catalogue, write_catalogue
from serving.catalogue_refresh import CatalogueRefresh
from serving.features import InMemoryFeatures
from tests.serving.example import LAUNCHED, example_catalogue


def _same(first: Catalogue, second: Catalogue) -> bool:
    return (list(first.titles.values()), first.artworks_of) == (list(second.titles.values()), second.artworks_of)


def test_a_catalogue_comes_back_as_it_was_written(tmp_path: Path) -> None:
    catalogue = Catalogue(
        [
            Title("t2", LAUNCHED, {"ünïcode": 0.5, "drama": 2.0}, "Two"),
            Title("t1", LAUNCHED),
            Title("lonely", LAUNCHED),
        ],
        [
            Artwork("b", "t1", LAUNCHED + timedelta(microseconds=1), {"face": 0.1}, "face", is_default=True),
            Artwork("a", "t1", LAUNCHED),
            Artwork("c", "t2", LAUNCHED),
        ],
    )
    write_catalogue(catalogue, tmp_path / "deep" / "catalogue.parquet")
    found = read_catalogue(tmp_path / "deep" / "catalogue.parquet")
    assert _same(found, catalogue)
    assert list(found.titles) == ["t2", "t1", "lonely"]
    assert found.artworks_of["lonely"] == []


def test_the_same_catalogue_gives_the_same_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.parquet"
    write_catalogue(example_catalogue(), path)
    first = path.read_bytes()
    write_catalogue(example_catalogue(), path)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_catalogue_is_a_catalogue(tmp_path: Path) -> None:
    write_catalogue(Catalogue((), ()), tmp_path / "catalogue.parquet")
    assert not read_catalogue(tmp_path / "catalogue.parquet").titles


def test_where_there_is_no_catalogue_the_error_says_what_makes_one(tmp_path: Path) -> None:
    for read in (read_catalogue, lambda path: CatalogueRefresh(path, InMemoryFeatures()).build()):
        with pytest.raises(ContractError, match=r"no catalogue at .*none\.parquet: `marquee import` or"):
            read(tmp_path / "none.parquet")


@pytest.mark.parametrize("keep_bytes", [0, 4, 100, -1])
def test_a_torn_file_is_refused_by_name(tmp_path: Path, keep_bytes: int) -> None:
    path = tmp_path / "catalogue.parquet"
    write_catalogue(example_catalogue(), path)
    path.write_bytes(path.read_bytes()[:keep_bytes])
    with pytest.raises(ContractError, match=str(path)):
        read_catalogue(path)


_ROW = {
    "title_id": "t1",
    "title_name": "One",
    "title_launched_at": LAUNCHED,
    "title_tastes": [("drama", 1.0)],
    "artwork_id": "a",
    "artwork_launched_at": LAUNCHED,
    "artwork_styles": [("face", 1.0)],
    "artwork_motif": "face",
    "artwork_is_default": True,
}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("title_id", None),
        ("title_id", ""),
        ("title_launched_at", None),
        ("artwork_launched_at", None),
        ("title_tastes", [("drama", float("nan"))]),
        ("artwork_styles", [("face", -1.0)]),
    ],
)
def test_a_wrong_value_is_refused_with_file_and_column(tmp_path: Path, column: str, value: object) -> None:
    path = tmp_path / "catalogue.parquet"
    pq.write_table(pa.Table.from_pylist([{**_ROW, column: value}], schema=SCHEMA), path)
    with pytest.raises(ContractError, match=f"column {column} .*{path}"):
        read_catalogue(path)


def test_a_missing_column_and_a_column_of_another_type_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.parquet"
    table = pa.Table.from_pylist([_ROW], schema=SCHEMA)
    pq.write_table(table.drop_columns("artwork_motif"), path)
    with pytest.raises(ContractError, match="column artwork_motif must be string, got no such column"):
        read_catalogue(path)
    place = SCHEMA.get_field_index("title_id")
    pq.write_table(table.set_column(place, "title_id", pa.array([7])), path)
    with pytest.raises(ContractError, match="column title_id must be string, got int64"):
        read_catalogue(path)


def test_rows_that_contradict_one_another_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.parquet"
    rows = [_ROW, {**_ROW, "artwork_id": "b", "title_name": "Other"}]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
    with pytest.raises(ContractError, match="contradicts an earlier row of title 't1'"):
        read_catalogue(path)
    pq.write_table(pa.Table.from_pylist([_ROW, _ROW], schema=SCHEMA), path)
    with pytest.raises(ContractError, match="artwork_id must be unique"):
        read_catalogue(path)


def test_the_documented_example_makes_the_documented_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text()
    monkeypatch.chdir(tmp_path)
    exec(text.partition("```python\n")[2].partition("```")[0], {})
    (path,) = tmp_path.rglob("catalogue.parquet")
    catalogue = read_catalogue(path)
    assert catalogue.default_of("film-1") == "film-1-heart"
    assert len(catalogue.artworks_of["film-1"]) == 2
    assert [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")] == SCHEMA.names
