"""Training on the chosen action alone gives the weights that training on all of them gives, bit for bit."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vowpal_wabbit_next import Workspace

from benchmarks.training import text_of_all
from models.batch import LoggedBatch
from models.vw import _BASE
from models.vw_driver import Driver
from models.vw_encoding import INTERACTIONS
from models.vw_text import text_of
from tests.models.world import batch_of, logged_of

RULES = {
    "epsilon": ("--epsilon", "0.3"),
    "softmax": ("--softmax", "--lambda", "5"),
    "squarecb": ("--squarecb", "--gamma_scale", "10"),
    "no limit on weights": ("--clip_p", "0"),
}


def random_log(seed: int, n: int, most: int) -> LoggedBatch:
    """Decisions of 1 to `most` candidates under propensities as uneven as a logging policy may have them."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, most + 1, size=n)
    batch = batch_of(counts, rng)
    batch.artwork_keys[:] = rng.integers(2**63, size=40, dtype=np.uint64)[rng.integers(40, size=len(batch.owner))]
    batch.shared[rng.random(batch.shared.shape) < 0.6] = 0.0
    batch.artworks[rng.random(batch.artworks.shape) < 0.6] = 0.0
    likely = rng.gamma(0.5, size=len(batch.owner)) + 1e-3
    return logged_of(batch, likely / np.repeat(np.add.reduceat(likely, batch.offsets[:-1]), counts), rng)


def learn(text: bytes, n: int, arguments: tuple[str, ...], workdir: Path) -> np.ndarray:
    crossing = [part for pair in INTERACTIONS for part in ("--quadratic", pair)]
    base = list(_BASE[:-2] if "--clip_p" in arguments else _BASE)
    with Driver([*base, *crossing, *arguments, "-b", "18", "-f", "model"], workdir) as driver:
        driver.write(text)
        driver.finish(n)
    return Workspace(["-t"], model_data=(workdir / "model").read_bytes()).weights()[:, 0, 0].copy()


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), most=st.integers(1, 30))
def test_weights_are_those_of_full_training(rule: str, seed: int, most: int, tmp_path: Path) -> None:
    logged = random_log(seed, 150, most)
    full = learn(text_of_all(logged), 150, RULES[rule], tmp_path)
    alone = learn(text_of(logged.batch, logged), 150, RULES[rule], tmp_path)
    assert full.any()
    np.testing.assert_array_equal(alone, full)


def test_the_model_of_a_bag_is_that_of_full_training_too(tmp_path: Path) -> None:
    """Each of its learners draws how often it learns a decision, whatever it would predict."""
    logged = random_log(5, 400, 12)
    for name, text in (("full", text_of_all(logged)), ("alone", text_of(logged.batch, logged))):
        crossing = [part for pair in INTERACTIONS for part in ("--quadratic", pair)]
        arguments = [*_BASE, *crossing, "--bag", "4", "--readable_model", f"{name}.txt", "-f", "model"]
        with Driver(arguments, tmp_path) as driver:
            driver.write(text)
            driver.finish(400)
    full, alone = (re.findall(r"(?m)^\d+.*:.*$", (tmp_path / f"{name}.txt").read_text()) for name in ("full", "alone"))
    assert len(full) > 1_000
    assert alone == full


def test_other_candidates_matter_where_they_are_left_out_altogether(tmp_path: Path) -> None:
    """The check would see a difference: without the empty lines VW would think that there was no choice."""
    logged = random_log(7, 150, 12)
    full = learn(text_of_all(logged), 150, (), tmp_path)
    fewer = re.sub(rb"(?m)^\|\n", b"", text_of(logged.batch, logged).replace(b"\n|\n\n", b"\n\n"))
    assert not np.array_equal(learn(fewer, 150, (), tmp_path), full)
