"""What is read back as a policy must prove itself, whatever its shape."""

import numpy as np
import pytest

from models.error import ContractError
from models.exploration import Exploration, ExplorationKind
from models.linear import LinearPolicy
from models.shape import SHAPES, from_arrays, to_arrays
from tests.models.example import EXAMPLES, random_linear

RULE = Exploration(ExplorationKind.GREEDY, floor=0.05)
ARRAYS = [(shape, name) for shape in SHAPES for name in EXAMPLES[shape](RULE).arrays()]


def test_an_unknown_kind_is_refused_with_the_known() -> None:
    arrays = {**to_arrays(random_linear(RULE)), "kind": np.array("forest")}
    with pytest.raises(ContractError, match=r"ensemble.*linear.*'forest'"):
        from_arrays(arrays)


def test_arrays_from_before_there_were_kinds_are_linear() -> None:
    policy = random_linear(RULE)
    again = from_arrays(policy.arrays())
    assert isinstance(again, LinearPolicy)
    np.testing.assert_array_equal(again.cross, policy.cross)


@pytest.mark.parametrize(("shape", "name"), ARRAYS, ids=lambda part: getattr(part, "KIND", part))
@pytest.mark.parametrize("how", ["missing", "short", "wild", "type", "flat"])
def test_any_array_that_is_not_what_it_must_be_is_refused(shape: type, name: str, how: str) -> None:
    arrays = to_arrays(EXAMPLES[shape](RULE))
    if how == "missing":
        del arrays[name]
    elif how == "short":
        arrays[name] = arrays[name][..., :-1] if arrays[name].ndim else arrays[name][None]
    elif how == "wild":
        arrays[name] = np.full_like(arrays[name], np.inf if arrays[name].dtype.kind == "f" else 0)
    elif how == "type":
        arrays[name] = arrays[name].astype(np.complex64)
    else:
        arrays[name] = arrays[name].ravel()[None, None]
    with pytest.raises(ContractError):
        from_arrays(arrays)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.KIND)
def test_arrays_that_no_policy_has_are_refused(shape: type) -> None:
    with pytest.raises(ContractError, match="more"):
        from_arrays({**to_arrays(EXAMPLES[shape](RULE)), "more": np.zeros(1)})
