"""The states of built intervals, as they lie on disk; an interval's note holds the digest of all of them."""

from pathlib import Path

from models.error import ContractError, NotReadyError
from pipelines.feature_chain import note_path, read_note
from pipelines.feature_state import STATES
from pipelines.part import joint_digest, known_digest
from pipelines.settings import Settings


def state_path(settings: Settings, name: str, key: str) -> Path:
    """Find one interval's state, of those of `STATES`."""
    return settings.features_dir / "_state" / name / f"interval={key}" / "part.parquet"


def refuse_other_states(settings: Settings, key: str, expected: str) -> None:
    """Refuse what was just read of an interval's states if they are not those of a digest that its note held.

    Raises:
        NotReadyError: if the interval is being built anew.
        ContractError: naming a state that cannot be read, or the note, if one was altered.
    """
    try:
        found = joint_digest(known_digest(state_path(settings, name, key)) for name in STATES)
    except ContractError:
        _refuse_other_note(settings, key, expected)
        raise
    if found != expected:
        _refuse_other_note(settings, key, expected)
        raise ContractError(
            f"a state of interval {key} was altered: the joint SHA-256 must be {expected}, got {found} "
            f"({note_path(settings, key)})"
        )


def _refuse_other_note(settings: Settings, key: str, expected: str) -> None:
    if read_note(settings, key).state != expected:
        raise NotReadyError(f"features of interval {key} were built anew while they were read")
