"""The ladder: what decides pages, and what does when that fails, down to a step that cannot."""

from collections.abc import Callable, Sequence

import numpy as np
import structlog

from models.batch import Batch, Floats
from models.kernel import CompiledPolicy
from models.policy import Policy
from serving.page_batch import PageBatch
from serving.policy import LoadedPolicy, is_pmf
from serving.seldom import Seldom

Step = Callable[[PageBatch], Floats]
Ladder = Sequence[tuple[str, Step]]
"""Steps from the top, each with why a page is decided by it: no word for the live policy."""

_log = structlog.get_logger(__name__)


class DefaultPolicy:
    """The title's default artwork with probability 1: the last step down, which cannot fail."""

    def __init__(self, pages: PageBatch) -> None:
        self._found = pages.found

    def pmf(self, batch: Batch) -> Floats:
        """Give 1 to each decision's default artwork."""
        places = [each.actions.index(each.default) for each in self._found]
        pmf = np.zeros(len(batch.artwork_keys))
        pmf[batch.offsets[:-1] + places] = 1.0
        return pmf


def ladder_of(loaded: LoadedPolicy, kernel: CompiledPolicy | None) -> Ladder:
    """List the steps of a policy that is in force. Args: kernel, the policy laid out, where it has been."""
    live = ("", _live(loaded.policy, kernel))
    return (live, ("policy_failed", _step(loaded.fallback)), ("best_failed", _default))


def unlearned_ladder(loaded: LoadedPolicy | None, reason: str) -> Ladder:
    """List the steps for a page that cannot be logged, each for that reason."""
    last = (reason, _default)
    return (last,) if loaded is None else ((reason, _step(loaded.fallback)), last)


def climb_down(ladder: Ladder, pages: PageBatch, version: str, seldom: Seldom) -> tuple[Floats, str]:
    """Take the first step of the ladder that gives probabilities, and its reason."""
    for reason, step in ladder:
        pmf = tried(step, pages, version, reason or "live", seldom)
        if pmf is not None:
            return pmf, reason
    raise AssertionError("the ladder's last step cannot fail")


def tried(step: Step, pages: PageBatch, version: str, name: str, seldom: Seldom) -> Floats | None:
    """Take one step; None where it gives no probabilities, and a line for the operator where one is due."""
    try:
        pmf = step(pages)
        if is_pmf(pmf, pages.offsets):
            return pmf
    except Exception as error:
        # The boundary to the policy: whatever it raises, a bug of its own too, costs the page a step and no more.
        if seldom.is_due((version, name, type(error))):
            _log.error("policy failed", version=version, step=name, n_pages=len(pages.pages), error=repr(error))
        return None
    if seldom.is_due((version, name)):
        _log.error("policy gave no probabilities", version=version, step=name, n_pages=len(pages.pages))
    return None


def uniform(pages: PageBatch) -> Floats:
    """Give every candidate of a title the same: `(m,)`."""
    found: Floats = (1.0 / pages.counts).repeat(pages.counts)
    return found


def _live(policy: Policy, kernel: CompiledPolicy | None) -> Step:
    def pmf(pages: PageBatch) -> Floats:
        within = None if kernel is None else pages.kernel_pages
        return policy.pmf(pages.batch) if kernel is None or within is None else kernel.probabilities(within)

    return pmf


def _step(policy: Policy) -> Step:
    return lambda pages: policy.pmf(pages.batch)


def _default(pages: PageBatch) -> Floats:
    return DefaultPolicy(pages).pmf(pages.batch)
