"""A small dataset in the published layout, and what a home holds."""

from pathlib import Path

HEADER = ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user_feature_2,affinity"
ROWS = [
    "0,2019-11-24 00:01:03.979311+00:00,1,2,0,0.25,tablet,jp,ja,0.0",
    "1,2019-11-25 00:01:03+00:00,0,1,1,0.75,tv,jp,ja,1.5",
    "2,2019-11-25 13:00:00.5+00:00,1,3,0,1.0,,jp,ja,0.0",
]
ITEMS = ",item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3\n0,0,-0.6,a,b,c\n1,1,0.7,a,x,\n"


def write_dataset(root: Path, rows: list[str] = ROWS, header: str = HEADER, policy: str = "random") -> Path:
    folder = root / policy / "men"
    folder.mkdir(parents=True)
    (folder / "men.csv").write_text("\n".join([header, *rows]) + "\n", newline="")
    (folder / "item_context.csv").write_text(ITEMS)
    return root


def everything(home: Path) -> dict[str, bytes]:
    files = (path for path in home.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(home)): path.read_bytes() for path in files}
