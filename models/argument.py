"""The arguments of our own learners, written like VW's: `--name value`."""

from collections.abc import Sequence
from math import isfinite

from models.error import ContractError


def numbers(arguments: Sequence[str], **defaults: float) -> dict[str, float]:
    """Read arguments that are all numbers of at least 0.

    Args: arguments, names and values in turn; defaults, every argument there is.

    Raises:
        ContractError: if one is unknown, has no value, or one that is not a finite number of at least 0.

    Example:
        >>> numbers(["--alpha", "0.5"], alpha=1.0, penalty=2.0)
        {'alpha': 0.5, 'penalty': 2.0}
    """
    found = dict(defaults)
    for name, text in zip(arguments[::2], (*arguments[1::2], *("",) * (len(arguments) % 2)), strict=True):
        if not (name.startswith("--") and name[2:] in defaults):
            raise ContractError(f"an argument must be one of {[f'--{known}' for known in defaults]}, got {name!r}")
        try:
            found[name[2:]] = float(text)
        except ValueError:
            raise ContractError(f"{name} must be a number, got {text!r}") from None
        if not (isfinite(found[name[2:]]) and found[name[2:]] >= 0.0):
            raise ContractError(f"{name} must be finite and at least 0, got {text!r}")
    return found
