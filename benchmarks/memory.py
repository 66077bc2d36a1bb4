"""Peak memory, as every benchmark tells it: resident mebibytes, as the kernel has counted them."""

import resource
from pathlib import Path

_FORGET = Path("/proc/self/clear_refs")


def own_peak_mib() -> float:
    """Tell the most memory that this process has held."""
    return _peak_mib(resource.RUSAGE_SELF)


def forget_own_peak() -> None:
    """Count anew from here, where the kernel can: on Linux; elsewhere the count goes on from before."""
    if _FORGET.exists():
        _FORGET.write_text("5", encoding="ascii")


def child_peak_mib() -> float:
    """Tell the most that one of its ended children has held; a child's count begins with its parent's."""
    return _peak_mib(resource.RUSAGE_CHILDREN)


def _peak_mib(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024
