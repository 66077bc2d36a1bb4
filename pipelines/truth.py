"""What only a simulation knows, beside the platform's own state: true chances, the world's ledger, which world it is.

    HOME/simulation/world.json               the spec: a HOME holds one world
    HOME/simulation/truth/<interval>.parquet  decision_id, the chance of a quality play of each action
    HOME/simulation/plays/<interval>.parquet  who played what, for the world's ledger

Nothing here is ever read to learn from: it is what the platform's estimates are held against.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.batch import Floats
from models.error import ContractError
from models.interval import Interval
from pipelines.settings import Settings
from simulation.ledger import Ledger
from simulation.world import World

TRUTH_SCHEMA = pa.schema([("decision_id", pa.string()), ("probabilities", pa.list_(pa.float64()))])
_PLAYS_SCHEMA = pa.schema([("profile_id", pa.string()), ("title_id", pa.string())])


class TruthWriter:
    """Writes an interval's truth chunk by chunk."""

    def __init__(self, file: pq.ParquetWriter) -> None:
        self._file = file

    def write(self, decision_ids: Sequence[str], offsets: NDArray[np.int64], probabilities: Floats) -> None:
        """Append n decisions; the chances of decision i are `probabilities[offsets[i]:offsets[i + 1]]`."""
        chances = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(probabilities))
        self._file.write_table(pa.table([pa.array(decision_ids, pa.string()), chances], schema=TRUTH_SCHEMA))


def simulation_dir(settings: Settings) -> Path:
    """Tell where a simulation keeps what the platform must not see."""
    return settings.home / "simulation"


def claim_home(settings: Settings, world: World) -> None:
    """Note in HOME which world is simulated there.

    Raises:
        ContractError: if it is another one: two worlds in one log have no truth.
    """
    path = simulation_dir(settings) / "world.json"
    spec = msgspec.json.encode(world.spec)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_bytes(spec)
        draft.replace(path)
    elif path.read_bytes() != spec:
        raise ContractError(f"another world is simulated here, start with an empty MARQUEE_HOME: {path}")


@contextmanager
def truth_writer(settings: Settings, interval: Interval) -> Iterator[TruthWriter]:
    """Write an interval's truth; the file appears, or is replaced, when all of it is there."""
    path = simulation_dir(settings) / "truth" / f"{interval.key}.parquet"
    with _replaced(path) as draft, pq.ParquetWriter(draft, TRUTH_SCHEMA) as file:
        yield TruthWriter(file)


def read_truth(settings: Settings, decision_ids: Sequence[str]) -> tuple[NDArray[np.int64], Floats]:
    """Look the truth of n simulated decisions up.

    Returns: offsets `(n + 1,)` and the chances `(m,)` of their actions in the order in which they were logged, as in
    `models.batch.Batch`.

    Raises:
        ContractError: naming the first decision that was not simulated here.
    """
    paths = sorted((simulation_dir(settings) / "truth").glob("*.parquet"))
    tables = [pq.read_table(path, schema=TRUTH_SCHEMA, partitioning=None) for path in paths]
    known = pa.concat_tables(tables or [TRUTH_SCHEMA.empty_table()]).combine_chunks()
    asked = pa.array(decision_ids, pa.string())
    rows = pc.index_in(asked, value_set=known["decision_id"])
    if rows.null_count:
        missing = asked[pc.index(pc.is_null(rows), True).as_py()].as_py()
        raise ContractError(f"no truth is known of decision_id={missing}: it was not simulated in {settings.home}")
    chances = known["probabilities"].take(rows).combine_chunks()
    counts = pc.list_value_length(chances).to_numpy()
    offsets = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
    return offsets, np.asarray(chances.flatten().to_numpy(), dtype=np.float64)


def write_plays(settings: Settings, interval: Interval, pairs: NDArray[np.object_]) -> None:
    """Note which `(n, 2)` pairs of profile_id and title_id were played, for the ledger of later intervals."""
    path = simulation_dir(settings) / "plays" / f"{interval.key}.parquet"
    with _replaced(path) as draft:
        pq.write_table(pa.table([pa.array(pairs[:, place]) for place in range(2)], schema=_PLAYS_SCHEMA), draft)


def ledger_before(settings: Settings, world: World, interval: Interval) -> Ledger:
    """Gather what was played in all intervals simulated here that began before this one."""
    ledger = world.new_ledger()
    for path in sorted((simulation_dir(settings) / "plays").glob("*.parquet")):
        if path.stem < interval.key:
            table = pq.read_table(path, schema=_PLAYS_SCHEMA, partitioning=None)
            profiles = world.profile_places(table["profile_id"].to_pylist())
            ledger = ledger.with_plays(profiles, world.title_places(table["title_id"].to_pylist()))
    return ledger


@contextmanager
def _replaced(path: Path) -> Iterator[Any]:
    """Open a draft that takes the file's place when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
