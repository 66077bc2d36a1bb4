"""Which environment variables mean something to Marquee: one that is misspelled is told, where it would be ignored."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from serving.feature_store import referred_variables
from serving.settings import ScorerSettings, variable_of


def setting_variables(settings: ScorerSettings) -> set[str]:
    """Spell every setting as its environment variable."""
    return {variable_of(name) for name in type(settings).model_fields}


def unknown_variables(settings: ScorerSettings, environment: Iterable[str], also: Collection[str] = ()) -> list[str]:
    """Say of each variable with our prefix that nothing reads it, with the closest known name.

    Args: environment, the names that are set; also, what is read beside the settings and what configurations of the
    feature store refer to.
    """
    prefix = variable_of("")
    known = setting_variables(settings) | set(also)
    for path in settings.feature_repo.glob("*.yaml"):
        known |= referred_variables(path)
    by_rest = {name.removeprefix(prefix): name for name in known if name.startswith(prefix)}
    told = []
    for name in sorted(environment):
        rest = name.upper().removeprefix(prefix)  # a setting is found in whichever case
        if name.upper().startswith(prefix) and rest not in by_rest:
            closest = get_close_matches(rest, by_rest, n=1)
            told.append(f"{name} is read by nothing{f': is {by_rest[closest[0]]} meant?' if closest else ''}")
    return told
