"""The counted state of the profiles that are active now, out of the newest state tables; the latest used are kept."""

from collections import OrderedDict
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from models.error import ContractError
from pipelines.feature_chain import NewestState
from pipelines.feature_state import STATES
from pipelines.settings import Settings
from pipelines.state_part import refuse_other_states, state_path

_KEPT = ("profile", "familiarity")


class FreshStates:
    """States by profile; at most `max_profiles` are held, some kilobytes each.

    Args: newest, the interval whose states these are; None before any.
    """

    def __init__(self, settings: Settings, newest: NewestState | None, *, max_profiles: int = 20_000) -> None:
        self._settings = settings
        self._newest = newest
        self._max_profiles = max_profiles
        self._held: OrderedDict[str, dict[str, pa.Table]] = OrderedDict()

    def of(self, profile_ids: Sequence[str]) -> dict[str, pa.Table]:
        """Give the states of some profiles, `PROFILE_STATE` and `FAMILIARITY_STATE` by name; none for the unknown.

        Raises:
            ContractError: naming a state that cannot be read, or was altered.
            NotReadyError: if they are built anew.
        """
        missing = [name for name in profile_ids if name not in self._held]
        if missing:
            self._load(missing)
        for name in profile_ids:
            self._held.move_to_end(name)
        found = {
            name: pa.concat_tables([STATES[name].empty_table(), *(self._held[each][name] for each in profile_ids)])
            for name in _KEPT
        }
        while len(self._held) > self._max_profiles:
            self._held.popitem(last=False)
        return found

    def _load(self, profile_ids: Sequence[str]) -> None:
        tables = {name: self._read(name, profile_ids) for name in _KEPT}
        if self._newest is not None:
            refuse_other_states(self._settings, self._newest.key, self._newest.state)
        for profile_id in profile_ids:
            self._held[profile_id] = {
                name: pa.table(table.filter(pc.equal(table["profile_id"], profile_id)).combine_chunks())
                for name, table in tables.items()
            }

    def _read(self, name: str, profile_ids: Sequence[str]) -> pa.Table:
        if self._newest is None:
            return STATES[name].empty_table()
        path = state_path(self._settings, name, self._newest.key)
        wanted = pc.field("profile_id").isin(pa.array(profile_ids, pa.string()))
        try:
            return pq.read_table(path, filters=wanted, partitioning=None).cast(STATES[name])
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ContractError(f"not a readable state: {path}: {error}") from error
