"""What the rows of a table or feature view must say beyond their types: contracts, checked by pandera at its door.

A bad event of the log never comes this far: its line is quarantined where it is read. What is refused here is a mistake
of ours or of a writer that went around us, and nothing of it is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from models.error import ContractError
from models.event import Delivery


@dataclass(frozen=True, slots=True)
class Rule:
    """What a column's values must be: in [low, high], or above `low` where `above`; or one of `among`; never null.

    Bounds are of numbers; NaN is within none.
    """

    low: float | None = None
    high: float | None = None
    above: bool = False
    among: tuple[str, ...] = ()
    nullable: bool = False


_THERE = Rule()
_SHARE, _AMOUNT, _COUNT = Rule(0.0, 1.0), Rule(0.0, 1e308), Rule(0.0, inf)

CONTRACTS: Mapping[str, Mapping[str, Rule]] = {
    "decisions": {
        "decided_at": _THERE,
        "profile_id": _THERE,
        "title_id": _THERE,
        "artwork_id": _THERE,
        "actions": _THERE,
        "propensity": Rule(0.0, 1.0, above=True),
        "row": Rule(0.0, inf, nullable=True),
        "column": Rule(0.0, inf, nullable=True),
        "local_hour": Rule(0.0, 23.0, nullable=True),
        "day_of_week": Rule(0.0, 6.0, nullable=True),
    },
    "impressions": {
        "received_at": _THERE,
        "delivery": Rule(among=tuple(each.value for each in Delivery)),
        "profile_id": _THERE,
        "title_id": _THERE,
        "artwork_id": _THERE,
        "decided_at": _THERE,
    },
    "plays": {
        "profile_id": _THERE,
        "title_id": _THERE,
        "started_at": _THERE,
        "received_at": _THERE,
        "minutes": _AMOUNT,
        "completion": _SHARE,
    },
    "rewards": {
        "profile_id": _THERE,
        "title_id": _THERE,
        "artwork_id": _THERE,
        "seen_at": _THERE,
        "matured_at": _THERE,
        "reward": _SHARE,
        "minutes": _AMOUNT,
        "rule": _THERE,
    },
    "profile_taste": {"profile_id": _THERE, "vector": _THERE},
    "profile_familiarity": {"profile_id": _THERE, "title_keys": _THERE},
    "title_profile": {"title_id": _THERE, "vector": _THERE},
    "artwork_profile": {"artwork_id": _THERE, "vector": _THERE, "take_fraction": _SHARE, "n_impressions": _COUNT},
}
"""By table or view: what each column must be. Keys are never null anywhere; what is not named may be anything."""


def refuse_broken(name: str, rows: pa.Table, key: str) -> None:
    """Refuse rows that break the contract of their table or view.

    Args: rows with at least the columns that the contract names; key, the column that tells rows apart.

    Raises:
        ContractError: naming table, column, the first bad value and its row's key.
    """
    if name not in CONTRACTS or not len(rows):
        return
    from pandera.errors import SchemaErrors

    try:
        _schema(name).validate(rows.select(list(CONTRACTS[name])), lazy=True)
    except SchemaErrors as error:
        first = error.failure_cases.slice(0, 1).to_pylist()[0]
        column, case = first["column"], first["failure_case"]
        values = rows[column].to_pylist()
        bad = (row for row, value in enumerate(values) if (value is None if case is None else str(value) == case))
        row = next(bad, None)
        where = "" if row is None else f" ({key}={rows[key][row].as_py()})"
        raise ContractError(f"{name}.{column} must be {first['check']}, got {case}{where}") from None


def refuse_other_widths(name: str, rows: pa.Table, key: str, width: int, where: str = "") -> None:
    """Refuse vectors of another length than the layout's: a changed layout is a new version of the feature service.

    Raises:
        ContractError: naming view, length and key, and the file if there is one.
    """
    lengths = pc.fill_null(pc.list_value_length(rows["vector"]), -1)
    other = pc.index(pc.not_equal(lengths, width), pa.scalar(value=True)).as_py()
    if other >= 0:
        raise ContractError(
            f"{name}.vector must have {width} values, got {lengths[other].as_py()} "
            f"({key}={rows[key][other].as_py()}){where}: another layout needs another feature service"
        )


@cache
def _schema(name: str) -> Any:
    """Spell a contract for pandera; it takes seconds to import, so that only those who check do."""
    import pandera.pyarrow as pandera

    columns = {
        column: pandera.Column(checks=_checks(pandera.Check, rule), nullable=rule.nullable)
        for column, rule in CONTRACTS[name].items()
    }
    return pandera.DataFrameSchema(columns, name=name)


def _checks(check: Any, rule: Rule) -> list[Any]:
    found = [check.isin(list(rule.among))] if rule.among else []
    if rule.low is not None:
        found.append(check.gt(rule.low) if rule.above else check.ge(rule.low))
    if rule.high is not None and rule.high != inf:
        found.append(check.le(rule.high))
    return found
