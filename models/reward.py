"""What the learner maximises, under a named and versioned rule."""

from dataclasses import dataclass

from models.error import ContractError


@dataclass(frozen=True, slots=True)
class QualityRule:
    """A play is a quality play when it ran long enough, in minutes or as a share of the title.

    Changing a threshold is a new `version`: rewards of two rules are never mixed in one training set.
    """

    version: str
    minutes: float
    completion: float


QUALITY_RULES = {
    rule.version: rule
    for rule in (
        QualityRule("quality-play-1", minutes=6.0, completion=0.7),
        QualityRule("any-play-1", minutes=0.0, completion=0.0),
    )
}


def quality_rule(version: str) -> QualityRule:
    """Look a rule up by version.

    Raises:
        ContractError: if there is none of that name.
    """
    try:
        return QUALITY_RULES[version]
    except KeyError:
        raise ContractError(f"reward rule must be one of {sorted(QUALITY_RULES)}, got {version!r}") from None
