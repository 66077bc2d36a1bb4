"""Attribution of 1M plays to 5M impressions, against a bare DuckDB query of the same answer and pandas' merge_asof.

The log is clean: nothing is repeated, late or of a wrong clock, so that a query without those rules gives the same
rewards, which is checked. The bare query is a range join with an argmax, and a left join that gives each impression its
row. All three run in one process, DuckDB's in turns, and the best of two runs counts.
"""

from datetime import timedelta
from time import perf_counter

import duckdb
import ibis
import pandas as pd

from models.error import ContractError
from models.reward import QUALITY_RULES
from pipelines.attribution import attribution
from pipelines.table import IMPRESSIONS, PLAYS

RULE = QUALITY_RULES["quality-play-1"]
WINDOW, GRACE = timedelta(hours=48), timedelta(hours=6)
_N_IMPRESSIONS, _FULL_IMPRESSIONS, _IMPRESSIONS_A_PLAY = 2_000_000, 5_000_000, 5
_RUNS = 2

_LOG = """
CREATE TABLE impressions AS
SELECT printf('01a194%016x-%d', hash(i)::UBIGINT, i % 20) AS decision_id,
    seen_at, seen_at + to_seconds(hash(i, 1) % 60) AS received_at, 'fresh' AS delivery,
    printf('p%07d', hash(i, 2) % {profiles}) AS profile_id, printf('t%05d', hash(i, 3) % 300) AS title_id,
    printf('t%05d-a%02d', hash(i, 3) % 300, hash(i, 4) % 8) AS artwork_id, seen_at - to_seconds(2) AS decided_at
FROM (SELECT i, TIMESTAMPTZ '2026-11-01 00:00:00Z' + to_microseconds((hash(i, 5) % 432000000000)::BIGINT) AS seen_at
      FROM range({impressions}) AS t(i));
CREATE TABLE plays AS
SELECT printf('y%09d', row_number() OVER ()) AS play_id, profile_id, title_id, started_at,
    started_at + to_seconds(60 * (n % 90)) AS received_at, (n % 90)::DOUBLE AS minutes, (n % 100) / 100.0 AS completion
FROM (SELECT *, seen_at + to_seconds(1 + hash(decision_id, 1) % 21600) AS started_at, hash(decision_id, 2) AS n
      FROM impressions WHERE hash(decision_id) % {a_play} = 0);
"""

_BARE = f"""
WITH credited AS (
    SELECT play_id, any_value(started_at) AS started_at, any_value(minutes) AS minutes,
        any_value(plays.minutes >= {RULE.minutes} OR plays.completion >= {RULE.completion}) AS quality,
        max_by(decision_id, (seen_at, decision_id)) AS decision_id
    FROM plays JOIN impressions USING (profile_id, title_id)
    WHERE seen_at <= started_at AND started_at < seen_at + INTERVAL 48 HOURS
    GROUP BY play_id),
earned AS (
    SELECT decision_id, max(quality::INT) AS reward, sum(minutes) AS minutes,
        arg_min(play_id, (NOT quality, started_at, play_id)) AS play_id
    FROM credited GROUP BY decision_id)
SELECT decision_id, profile_id, title_id, artwork_id, decided_at, seen_at, seen_at + INTERVAL 54 HOURS AS matured_at,
    coalesce(reward, 0)::DOUBLE AS reward, coalesce(minutes, 0) AS minutes, play_id, '{RULE.version}' AS rule
FROM impressions LEFT JOIN earned USING (decision_id)
"""


def run(full: bool) -> dict[str, float | int | str]:
    """Time all three on 2M impressions, or 5M if `full`, and one play to five impressions."""
    return measure(_FULL_IMPRESSIONS if full else _N_IMPRESSIONS)


def measure(n_impressions: int) -> dict[str, float | int | str]:
    """Time all three, and see that they give the same rewards."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'").fetchall()
        sizes = {"impressions": n_impressions, "profiles": n_impressions // 50, "a_play": _IMPRESSIONS_A_PLAY}
        connection.execute(_LOG.format(**sizes)).fetchall()
        n_plays = connection.execute("SELECT count(*) FROM plays").fetchall()[0][0]
        seconds: dict[str, list[float]] = {"ours": [], "bare": []}
        for _ in range(_RUNS):
            for name, query in (("bare", _BARE), ("ours", _our_sql())):
                began = perf_counter()
                connection.execute(f"CREATE OR REPLACE TABLE {name} AS {query}").fetchall()
                seconds[name].append(perf_counter() - began)
        _refuse_different(connection)
        ours, bare = (min(seconds[name]) for name in ("ours", "bare"))
        pandas = _pandas_seconds(connection)
    return {
        "n_impressions": n_impressions,
        "n_plays": n_plays,
        "seconds": ours,
        "seconds_bare_duckdb": bare,
        "seconds_pandas": pandas,
        "ratio_bare_duckdb": ours / bare,
        "speedup_pandas": pandas / ours,
    }


def _our_sql() -> str:
    tables = (ibis.table(ibis.Schema.from_pyarrow(one.schema), name=one.name) for one in (IMPRESSIONS, PLAYS))
    return str(ibis.to_sql(attribution(*tables, window=WINDOW, grace=GRACE, rule=RULE), dialect="duckdb"))


def _refuse_different(connection: duckdb.DuckDBPyConnection) -> None:
    columns = "decision_id, matured_at, reward, round(minutes, 3), play_id"
    difference = f"(SELECT {columns} FROM ours EXCEPT ALL SELECT {columns} FROM bare)"
    rows = connection.execute(f"SELECT count(*), (SELECT count(*) FROM bare) FROM {difference}").fetchall()
    if rows[0][0] or not rows[0][1]:
        raise ContractError(f"both queries must give the same rewards, {rows[0][0]} rows differ")


def _pandas_seconds(connection: duckdb.DuckDBPyConnection) -> float:
    """Do the same by merge_asof, over frames that are in memory and sorted already."""
    seen = connection.execute("SELECT * EXCLUDE (received_at, delivery) FROM impressions ORDER BY ALL").df()
    plays = connection.execute("SELECT * FROM plays").df()
    seen, plays = seen.sort_values(["seen_at", "decision_id"]), plays.sort_values("started_at")
    expected = connection.execute("SELECT sum(reward) FROM ours").fetchall()[0][0]
    began = perf_counter()
    credited = pd.merge_asof(
        plays,
        seen[["decision_id", "profile_id", "title_id", "seen_at"]],
        left_on="started_at",
        right_on="seen_at",
        by=["profile_id", "title_id"],
        tolerance=pd.Timedelta(WINDOW - timedelta(microseconds=1)),
    ).dropna(subset=["decision_id"])
    credited["reward"] = ((credited["minutes"] >= RULE.minutes) | (credited["completion"] >= RULE.completion)) * 1.0
    earned = credited.groupby("decision_id").agg(reward=("reward", "max"), minutes=("minutes", "sum"))
    found = seen.merge(earned, on="decision_id", how="left").fillna({"reward": 0.0, "minutes": 0.0})
    seconds = perf_counter() - began
    if found["reward"].sum() != expected or len(found) != len(seen):
        raise ContractError(f"pandas must give the same rewards, got {found['reward'].sum()}, expected {expected}")
    return seconds
