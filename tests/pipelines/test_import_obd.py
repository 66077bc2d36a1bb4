import csv
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pytest

from models.catalogue import Artwork, Catalogue, Title
from models.error import ContractError
from models.interval import Interval
from models.segment import find_segments
from pipelines.attribution import attribute
from pipelines.import_log import Imported
from pipelines.import_obd import import_obd
from pipelines.ingest import ingest
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.table import DECISIONS, IMPRESSIONS, PLAYS, REWARDS
from serving.catalogue_file import read_catalogue, write_catalogue
from tests.pipelines.obd_files import ITEMS, ROWS, everything, write_dataset

ROOT = Path(__file__).parents[2]
FIRST, LAST = Interval.parse("20191124T000000Z", 24), Interval.parse("20191203T000000Z", 24)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data")


def contents(settings: Settings) -> list[str]:
    """The content keys of what was imported."""
    return sorted(folder.name.removeprefix("import-obd-") for folder in settings.events_dir.iterdir())


def refresh(settings: Settings) -> Lake:
    for interval in Interval(FIRST.start_at, LAST.end_at).split(settings.interval_hours):
        ingest(settings, interval)
        attribute(settings, interval)
    return Lake(settings.lake_dir)


def test_each_row_is_a_decision_seen_at_once_with_the_propensity_of_the_data(settings: Settings, dataset: Path) -> None:
    told: list[int] = []
    imported = import_obd(settings, dataset, progress=told.append)
    assert imported == Imported(3, 1, 1, 2, "20191124T000000Z", "20191125T000000Z")
    assert told == [3]
    (content,) = contents(settings)
    lake = refresh(settings)
    rows = lake.read(DECISIONS, FIRST.start_at, LAST.end_at).to_pylist()
    assert rows[1] | {"page_id": None} == {
        "decision_id": f"obd-random-men-{content}-1",
        "page_id": None,
        "decided_at": datetime(2019, 11, 25, 0, 1, 3, tzinfo=UTC),
        "profile_id": f"~obd-random-men-{content}-1",
        "title_id": "obd-men",
        "artwork_id": "obd-men-0",
        "actions": ["obd-men-0", "obd-men-1"],
        "propensity": 0.75,
        "intent": "live",
        "row": 0,
        "column": 0,
        "score": 0.0,
        "policy_version": "obd-random",
        "cell": "uniform",
        "epoch": 0,
        "feature_service": "artwork_ranker_v1",
        "device": "tv",
        "country": "jp",
        "language": "ja",
        "local_hour": 0,
        "day_of_week": 0,
        "profile_features": b"",
        "features": b"",
    }
    assert [row["propensity"] for row in rows] == [0.25, 0.75, 1.0]
    assert [row["column"] for row in rows] == [1, 0, 2]
    rewards = lake.read(REWARDS, FIRST.start_at, LAST.end_at).to_pylist()
    assert [(row["decision_id"], row["reward"]) for row in rewards] == [
        (f"obd-random-men-{content}-0", 0.0),
        (f"obd-random-men-{content}-1", 1.0),
        (f"obd-random-men-{content}-2", 0.0),
    ]


def test_items_become_artworks_with_their_categories_as_styles(settings: Settings, dataset: Path) -> None:
    import_obd(settings, dataset / "random" / "men")
    catalogue = read_catalogue(settings.catalogue_path)
    day = datetime(2019, 11, 24, tzinfo=UTC)
    assert catalogue.titles == {"obd-men": Title("obd-men", day, name="Open Bandit: men")}
    assert list(catalogue.artworks.values()) == [
        Artwork("obd-men-0", "obd-men", day, {"item_feature_1:a": 1, "item_feature_2:b": 1, "item_feature_3:c": 1}),
        Artwork("obd-men-1", "obd-men", day, {"item_feature_1:a": 1, "item_feature_2:x": 1}),
    ]


def test_an_import_leaves_the_rest_of_the_catalogue_and_moves_launches_only_back(
    settings: Settings, dataset: Path
) -> None:
    early, late = datetime(2018, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    titles = [Title("other", late), Title("obd-men", late, {"comedy": 1.0}, "mine")]
    write_catalogue(Catalogue(titles, [Artwork("obd-men-0", "obd-men", early, motif="mine")]), settings.catalogue_path)
    import_obd(settings, dataset)
    merged = read_catalogue(settings.catalogue_path)
    day = datetime(2019, 11, 24, tzinfo=UTC)
    assert list(merged.titles.values()) == [Title("other", late), Title("obd-men", day, {"comedy": 1.0}, "mine")]
    assert merged.artworks["obd-men-0"] == Artwork("obd-men-0", "obd-men", early, motif="mine")
    assert merged.artworks["obd-men-1"].launched_at == day


def test_importing_the_same_data_again_changes_nothing(settings: Settings, dataset: Path) -> None:
    first = import_obd(settings, dataset)
    before = everything(settings.home)
    assert import_obd(settings, dataset) == first
    assert everything(settings.home) == before


def test_two_policies_of_one_campaign_share_title_and_artworks(settings: Settings, dataset: Path) -> None:
    write_dataset(dataset, policy="bts")
    assert import_obd(settings, dataset) == Imported(6, 2, 1, 2, "20191124T000000Z", "20191125T000000Z")
    decisions = refresh(settings).read(DECISIONS, FIRST.start_at, LAST.end_at)
    assert sorted(zip(decisions["policy_version"].to_pylist(), decisions["cell"].to_pylist(), strict=True)) == (
        [("obd-bts", "live")] * 3 + [("obd-random", "uniform")] * 3
    )


def test_policies_of_one_campaign_may_come_one_after_the_other_and_share_no_id(
    settings: Settings, dataset: Path
) -> None:
    write_dataset(dataset, policy="bts")
    for policy in ("random", "bts"):
        import_obd(settings, dataset / policy)
    lake = refresh(settings)
    rewards = lake.read(REWARDS, FIRST.start_at, LAST.end_at).to_pylist()
    assert len({row["decision_id"] for row in rewards}) == 6
    assert sum(row["reward"] for row in rewards) == 2


def test_other_data_of_a_log_that_is_there_is_refused_and_changes_nothing(settings: Settings, dataset: Path) -> None:
    import_obd(settings, dataset)
    before = everything(settings.home)
    other = write_dataset(dataset / "other", rows=[*ROWS[1:], ROWS[0].replace("0,2019", "3,2019")])
    with pytest.raises(
        ContractError, match=r"obd-random-men was imported before .*import-obd-" + contents(settings)[0]
    ):
        import_obd(settings, other)
    write_dataset(dataset, policy="bts")
    with pytest.raises(ContractError, match="obd-random-men was imported before"):
        import_obd(settings, dataset)
    assert everything(settings.home) == before


def test_no_two_contents_share_an_id(settings: Settings, dataset: Path, tmp_path: Path) -> None:
    other = Settings(home=tmp_path / "other-home")
    import_obd(settings, dataset)
    import_obd(other, write_dataset(dataset / "other", rows=[row.replace(",1,1,", ",1,0,") for row in ROWS]))
    days = FIRST.start_at, LAST.end_at
    both = [
        refresh(each).read(DECISIONS, *days, columns=["decision_id", "page_id", "profile_id"])
        for each in (settings, other)
    ]
    mine, theirs = ({name for column in rows.columns for name in column.to_pylist()} for rows in both)
    assert not mine & theirs


def test_a_record_of_an_import_that_cannot_be_read_is_named(settings: Settings, dataset: Path) -> None:
    import_obd(settings, dataset)
    (record,) = settings.events_dir.glob("*/imported.json")
    record.write_bytes(b"{")
    with pytest.raises(ContractError, match=r"imported\.json"):
        import_obd(settings, dataset)


def test_segments_hold_one_interval_each_and_say_so_by_name(settings: Settings, dataset: Path) -> None:
    import_obd(settings, dataset)
    segments = find_segments(settings.events_dir)
    assert [(one.opened_at, one.closed_at) for one in segments] == [
        (datetime(2019, 11, 24, 0, 1, 3, 979311, tzinfo=UTC),) * 2,
        (datetime(2019, 11, 25, 0, 1, 3, tzinfo=UTC), datetime(2019, 11, 25, 13, 0, 0, 500000, tzinfo=UTC)),
    ]


def test_what_a_killed_import_left_is_not_in_the_way(settings: Settings, dataset: Path) -> None:
    import_obd(settings, dataset)
    (folder,) = settings.events_dir.iterdir()
    before = everything(settings.home)
    folder.rename(settings.home / "importing" / folder.name)  # killed just before it was put in place
    (settings.home / "importing" / folder.name / "00000007.part").write_bytes(b"half a li")
    import_obd(settings, dataset)
    assert everything(settings.home) == before


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel tells no peak of a process")
def test_a_log_three_times_as_long_takes_no_more_memory(tmp_path: Path) -> None:
    short, long = (_peak_mib_of_importing(write_long(tmp_path, n_rows), n_rows) for n_rows in (50_000, 150_000))
    # The longer log's file is 32 MiB longer, its events more than 100 MiB.
    assert long < short + 24


def write_long(folder: Path, n_rows: int) -> Path:
    """Write a week of so many rows with every column of the published files, in their order of time."""
    campaign = folder / f"long-{n_rows}" / "random" / "men"
    campaign.mkdir(parents=True)
    n_items, day = 34, datetime(2019, 11, 24, tzinfo=UTC)
    users, affinities = (f"user_feature_{k}" for k in range(4)), (f"user-item_affinity_{k}" for k in range(n_items))
    header = ",".join(["", "timestamp,item_id,position,click,propensity_score", *users, *affinities])
    rest = ",".join([*(letter * 32 for letter in "abcd"), *["0.0"] * n_items])
    with (campaign / "men.csv").open("w") as file:
        file.write(header + "\n")
        for row in range(n_rows):
            at = day + timedelta(days=7 * row / n_rows)
            file.write(f"{row},{at},{row % n_items},{row % 3 + 1},{int(row % 200 == 0)},{1 / n_items},{rest}\n")
    items = "".join(f"{item},{item},0.1,a{item},b,c\n" for item in range(n_items))
    (campaign / "item_context.csv").write_text(ITEMS.splitlines()[0] + "\n" + items)
    return folder / f"long-{n_rows}"


def _peak_mib_of_importing(dataset: Path, n_rows: int) -> float:
    """Import in a process of its own, and let that tell the most it has held."""
    program = (
        "import sys; from pathlib import Path\n"
        "from pipelines.import_obd import import_obd; from pipelines.settings import Settings\n"
        "print(import_obd(Settings(home=Path(sys.argv[2])), Path(sys.argv[1])).n_decisions)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    command = [sys.executable, "-c", program, str(dataset), str(dataset / "home")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    n_decisions, peak_kib = map(int, ran.stdout.split())
    assert n_decisions == n_rows
    return peak_kib / 1024


def test_the_published_sample_comes_through_exactly(settings: Settings, shared_data: Path) -> None:
    imported = import_obd(settings, shared_data / "obd")
    clicks = {}
    for policy in ("random", "bts"):
        for campaign in ("men", "women"):
            with (shared_data / "obd" / policy / campaign / f"{campaign}.csv").open() as file:
                clicks[policy, f"obd-{campaign}"] = [int(row["click"]) for row in csv.DictReader(file)]
    assert {len(one) for one in clicks.values()} == {10_000}
    assert imported.n_plays == sum(map(sum, clicks.values())) == 207
    assert (imported.n_decisions, imported.n_titles, imported.n_artworks) == (40_000, 2, 34 + 46)

    lake = refresh(settings)
    assert [lake.read(table, FIRST.start_at, LAST.end_at).num_rows for table in (DECISIONS, IMPRESSIONS, PLAYS)] == [
        40_000,
        40_000,
        207,
    ]
    rewards = lake.read(REWARDS, FIRST.start_at, LAST.end_at, columns=["decision_id", "title_id", "reward"])
    for (policy, title_id), expected in clicks.items():
        ours = rewards.filter(
            pc.and_(pc.equal(rewards["title_id"], title_id), pc.starts_with(rewards["decision_id"], f"obd-{policy}-"))
        )
        found = {int(row["decision_id"].rsplit("-", 1)[1]): row["reward"] for row in ours.to_pylist()}
        assert [found[row] for row in range(10_000)] == expected
