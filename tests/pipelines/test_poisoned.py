"""A candidate that a poisoned log has made worse than chance ends there; those that learn something from it go on."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.training_log import LogSpec, write_training_log
from models.error import WorseThanUniformError
from pipelines.part import digest
from pipelines.registry import Registry
from pipelines.settings import Settings
from pipelines.training import train_candidate
from pipelines.training_set import Side, iter_training_batches


def poison(directory: Path) -> None:
    """Turn the rewards of the first 53 % round, as a wrong join would."""
    (path,) = directory.glob("part-*.parquet")
    rows = pq.read_table(path, partitioning=None)
    reward = np.asarray(rows["reward"])
    turned = np.where(np.arange(len(reward)) < 0.53 * len(reward), 1.0 - reward, reward)
    pq.write_table(rows.set_column(rows.schema.get_field_index("reward"), "reward", pa.array(turned)), path)
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["files"][path.name] = digest(path.read_bytes())
    (directory / "manifest.json").write_text(json.dumps(manifest))


def test_a_candidate_that_is_worse_than_chance_is_neither_written_nor_registered(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    uri = write_training_log(tmp_path / "set", LogSpec(100_000, 4))
    healthy = train_candidate(settings, uri, "vw-epsilon")
    poison(tmp_path / "set")
    n_learned = sum(len(logged) for logged in iter_training_batches(uri, Side.TRAIN))
    assert n_learned > 20_000
    for name in ("vw-epsilon", "linucb"):
        with pytest.raises(WorseThanUniformError, match="worse than uniform"):
            train_candidate(settings, uri, name)
    other = train_candidate(settings, uri, "best-artwork")
    bundles = {path.name for path in (tmp_path / "set" / "candidates" / "bundles").iterdir()}
    assert bundles == {healthy, other}
    assert Registry(settings.registry_uri).find(other) is not None
