"""Where the real data is that benchmarks read."""

import os
from pathlib import Path

from models.error import ContractError


def shared_data(part: str) -> Path:
    """Find a folder of the real data.

    Raises:
        ContractError: saying where it was looked for.
    """
    root = Path(__file__).parents[2] / "shared" / "data"
    found = Path(os.environ.get("MARQUEE_SHARED_DATA", root)) / part
    if not found.is_dir():
        raise ContractError(f"real data not found at {found}: set MARQUEE_SHARED_DATA to the folder that holds {part}/")
    return found
