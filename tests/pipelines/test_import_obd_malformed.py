"""A malformed file is named with its line and column, and nothing changes."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from models.error import ContractError
from pipelines.import_obd import import_obd
from pipelines.settings import Settings
from tests.pipelines.obd_files import ITEMS, ROWS, everything, write_dataset


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data")


def _replace(row: int, old: str, new: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        lines = path.read_text().splitlines()
        assert old in lines[row]
        lines[row] = lines[row].replace(old, new, 1)
        path.write_text("\n".join(lines) + "\n")

    return change


MALFORMED = {
    "a missing column": (_replace(0, "propensity_score", "score"), r"line 1, column propensity_score: expected once"),
    "a column twice": (
        _replace(0, "affinity", "click"),
        r"line 1, column click: expected once in the header, got twice",
    ),
    "an empty file": (lambda path: path.write_bytes(b""), r"line 1, column timestamp: expected once"),
    "no number": (_replace(2, ",1,1,0.75", ",1,yes,0.75"), r"line 3, column click: expected 0 or 1, got 'yes'"),
    "a click of 2": (_replace(2, ",1,1,0.75", ",1,2,0.75"), r"line 3, column click: expected 0 or 1, got '2'"),
    "no position": (_replace(3, ",3,0,", ",,0,"), r"line 4, column position: expected a whole number from 1, got ''"),
    "a position of 0": (_replace(3, ",3,0,", ",0,0,"), r"line 4, column position: expected .* from 1, got '0'"),
    "a propensity of 0": (_replace(1, "0.25", "0.0"), r"line 2, column propensity_score: expected .*, got '0\.0'"),
    "a propensity above 1": (_replace(1, "0.25", "1.25"), r"line 2, column propensity_score: .* got '1\.25'"),
    "a propensity that is no number": (_replace(1, "0.25", "nan"), r"line 2, column propensity_score: .* got 'nan'"),
    "an unknown item": (
        _replace(2, ",0,1,", ",7,1,"),
        r"line 3, column item_id: expected an item of item_c.*, got '7'",
    ),
    "a bad time": (_replace(2, "2019-11-25", "2019-13-25"), r"line 3, column timestamp: expected a time with its zone"),
    "the year 1": (
        _replace(2, "2019-11-25", "0001-11-25"),
        r"line 3, column timestamp: .* between 2000 and 2200, got '0001",
    ),
    "the year 9999": (_replace(2, "2019-11-25", "9999-12-31"), r"line 3, column timestamp: .* and 2200, got '9999"),
    "the last moment of 1999": (
        _replace(2, "2019-11-25 00:01:03", "1999-12-31 23:59:59.999999"),
        r"line 3, column timestamp: .* between 2000",
    ),
    "the first moment of 2200": (
        _replace(2, "2019-11-25 00:01:03", "2200-01-01 00:00:00"),
        r"line 3, column timestamp: .* and 2200",
    ),
    "a time without zone": (_replace(2, "+00:00", ""), r"line 3, column timestamp: expected a time with its zone"),
    "too few fields": (
        _replace(3, ",ja,0.0", ""),
        r"line 4, column user_feature_2: expected 10 fields in the line, got 8",
    ),
    "too many fields": (_replace(3, ",ja,0.0", ",ja,0.0,9"), r"line 4, column affinity: expected 10 fields .* got 11"),
    "an empty line": (_replace(2, ROWS[1], ""), r"line 3, column timestamp: .* got ''"),
    "a torn tail": (
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        r"line 4, column position: expected 10 fields in the line, got 3",
    ),
    "a byte that is not UTF-8": (
        lambda path: path.write_bytes(path.read_bytes().replace(b"tablet", b"tab\xfflet")),
        r"line 2, column 7: expected UTF-8",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_named_with_line_and_column_and_changes_nothing(
    settings: Settings, dataset: Path, name: str
) -> None:
    change, message = MALFORMED[name]
    import_obd(settings, write_dataset(dataset / "sound", policy="bts"))
    before = everything(settings.home)
    change(dataset / "random" / "men" / "men.csv")
    with pytest.raises(ContractError, match=r"men\.csv, " + message):
        import_obd(settings, dataset)
    assert everything(settings.home) == before


def test_a_malformed_item_file_is_named(settings: Settings, dataset: Path) -> None:
    path = dataset / "random" / "men" / "item_context.csv"
    for content, message in (
        (ITEMS.replace("1,1,", "1,0,"), r"line 3, column item_id: expected an item of its own"),
        (ITEMS.replace("1,1,", "1,x,"), r"line 3, column item_id: expected a whole number"),
        (ITEMS.splitlines()[0], r"line 2, column item_id: expected an item"),
    ):
        path.write_text(content)
        with pytest.raises(ContractError, match=r"item_context\.csv, " + message):
            import_obd(settings, dataset)
    path.unlink()
    with pytest.raises(ContractError, match="item_context"):
        import_obd(settings, dataset)
    assert everything(settings.home) == {}


def test_a_folder_without_the_data_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=re.escape("expected (random|bts)/(all|men|women)/<campaign>.csv")):
        import_obd(settings, tmp_path / "nothing")
    write_dataset(tmp_path / "data", rows=[])
    with pytest.raises(ContractError, match="there is not one row"):
        import_obd(settings, tmp_path / "data")


def test_a_line_that_is_far_down_is_named_exactly(settings: Settings, dataset: Path) -> None:
    day = datetime(2019, 11, 24, tzinfo=UTC)
    rows = [f"{row},{day + timedelta(seconds=row)},0,1,0,0.5,tv,jp,{'x' * 100},0.0" for row in range(90_000)]
    rows[80_000] = rows[80_000].replace(",0.5,", ",half,")
    with pytest.raises(ContractError, match=r"line 80002, column propensity_score: .* got 'half'"):
        import_obd(settings, write_dataset(dataset / "long", rows=rows))
