"""When an epoch begins: with its features, or when it has waited for them long enough."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.epoch import Epochs

HOUR = 3_600_000_000
_moments = st.integers(-(10**16), 10**16)


def test_an_epoch_waits_for_the_features_of_its_beginning() -> None:
    epochs, midnight = Epochs.of(24.0, 3.0), 20_000 * 24 * HOUR
    yesterday = midnight - 24 * HOUR
    assert epochs.at(midnight - 1, yesterday) == 19_999
    assert epochs.at(midnight + HOUR, yesterday) == 19_999, "the night's rows have not arrived"
    assert epochs.at(midnight + HOUR, midnight) == 20_000, "they have"
    assert epochs.at(midnight + 3 * HOUR, yesterday) == 20_000, "it waits no longer"
    assert epochs.at(midnight) == 20_000, "where nothing is known of anything there is nothing to wait for"


def test_no_epoch_waits_for_more_than_half_its_length() -> None:
    assert Epochs.of(1.0, 3.0) == Epochs(HOUR, HOUR // 2)


@given(st.lists(st.tuples(_moments, _moments), min_size=1), st.floats(0.1, 200.0), st.floats(0.0, 50.0))
def test_many_moments_are_numbered_as_each_is_and_none_is_late_by_more_than_an_epoch(
    moments: list[tuple[int, int]], hours: float, patience: float
) -> None:
    epochs = Epochs.of(hours, patience)
    at, known = (np.array(column) for column in zip(*moments, strict=True))
    found = epochs.at(at, known)
    assert found.tolist() == [epochs.at(*each) for each in moments]
    assert np.isin(at // epochs.length_us - found, (0, 1)).all()


@pytest.mark.parametrize("known", [-1, 10**18])
def test_epochs_never_run_backwards(known: int) -> None:
    at = np.arange(0, 10 * 24 * HOUR, HOUR // 7)
    assert (np.diff(Epochs.of(24.0, 3.0).at(at, known)) >= 0).all()
