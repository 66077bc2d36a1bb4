"""Every error that Marquee raises on purpose.

    MarqueeError
    ├── ContractError (also ValueError)   a record, file or table is not what its contract says
    │   ├── NotAppliedError               a home whose feature store was never made
    │   ├── NotApprovedError              a policy that no verdict of the gate promotes
    │   └── SkewError                     what was served is not what training would learn from
    ├── NoOverlapError                    the target policy never does what the log did
    ├── StaleModelError                   a policy trained on older data than the one it would replace
    │   └── WithdrawnModelError           a policy that a rollback took out of service
    ├── LearnerError                      a learner failed, or a policy is not what its learner learned
    │   ├── DivergedModelError            it ended with weights or scores that are not finite
    │   └── WorseThanUniformError         it does worse than chance on decisions that it has yet to learn
    ├── BundleError                       a bundle or pointer is missing, torn, altered or of an unknown layout
    ├── NotReadyError                     the input of an interval is not complete yet; asking again later may help
    ├── FeatureUnavailableError           the online store did not answer
    └── ScorerError                       a scorer refused a request of its client, or did not answer

A message says what was expected, what came, and which id, field or file it came from.
"""


class MarqueeError(Exception):
    """The root: catching it catches whatever Marquee raises on purpose."""


class ContractError(MarqueeError, ValueError):
    """A record, file or table breaks its contract."""


class NotAppliedError(ContractError):
    """No feature definitions were applied to a home yet."""


class NotApprovedError(ContractError):
    """No verdict of the gate promotes a policy."""


class SkewError(ContractError):
    """Features were served that are not those which training would learn from."""


class NoOverlapError(MarqueeError):
    """Every importance weight is zero: the log says nothing about the target policy."""


class StaleModelError(MarqueeError):
    """A policy was trained on older data than the policy it would replace."""


class WithdrawnModelError(StaleModelError):
    """A policy came too late: a rollback took it out of service."""


class LearnerError(MarqueeError):
    """A learner failed, or a policy is not what its learner learned."""


class DivergedModelError(LearnerError):
    """A learner ended with weights or scores that are not finite."""


class WorseThanUniformError(LearnerError):
    """A policy does worse than chance on decisions that it has yet to learn."""


class BundleError(MarqueeError):
    """A policy bundle or its pointer cannot be trusted."""


class NotReadyError(MarqueeError):
    """An interval's input is not complete yet."""


class FeatureUnavailableError(MarqueeError):
    """The online feature store did not answer."""


class ScorerError(MarqueeError):
    """A scorer refused a request (`status`, and the `field` at fault), or did not answer (`status` 0)."""

    def __init__(self, message: str, status: int = 0, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.field = field
