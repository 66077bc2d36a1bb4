"""A half-open stretch of time, the unit in which the lake is written and rebuilt."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from models.error import ContractError

_KEY_FORMAT = "%Y%m%dT%H%M%SZ"


def moment_key(moment: datetime) -> str:
    """Name a moment as partitions and folders are named: sortable as text and safe in paths and URLs.

    Raises:
        ContractError: if it is naive or not UTC, whose name would be that of another moment.
    """
    if moment.utcoffset() != timedelta(0):
        raise ContractError(f"a moment must be aware UTC, got {moment!r}")
    return moment.strftime(_KEY_FORMAT)


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """[start_at, end_at) in aware UTC.

    Raises:
        ContractError: if a bound is naive or not UTC, or the interval is empty.

    Example:
        >>> day = Interval.parse("20261101T000000Z", hours=24)
        >>> day.key, [part.key for part in day.split(hours=12)]
        ('20261101T000000Z', ['20261101T000000Z', '20261101T120000Z'])
    """

    start_at: datetime
    end_at: datetime

    def __post_init__(self) -> None:
        for bound in (self.start_at, self.end_at):
            if bound.utcoffset() != timedelta(0):
                raise ContractError(f"an interval's bounds must be aware UTC, got {bound!r}")
        if self.start_at >= self.end_at:
            raise ContractError(f"an interval must end after it starts, got [{self.start_at}, {self.end_at})")

    @property
    def key(self) -> str:
        """The partition name: the start, sortable as text and safe in paths and URLs."""
        return moment_key(self.start_at)

    @classmethod
    def parse(cls, key: str, hours: float) -> Self:
        """Build the interval of `hours` that begins at `key`."""
        try:
            start_at = datetime.strptime(key, _KEY_FORMAT).replace(tzinfo=UTC)
        except ValueError as error:
            raise ContractError(f"an interval key looks like 20261101T000000Z, got {key!r}") from error
        return cls(start_at, start_at + timedelta(hours=hours))

    @classmethod
    def containing(cls, moment: datetime, hours: float) -> Self:
        """Build the interval of `hours`, counted from the epoch, that holds `moment`."""
        length = timedelta(hours=hours)
        origin = datetime(1970, 1, 1, tzinfo=UTC)
        start_at = origin + (moment.astimezone(UTC) - origin) // length * length
        return cls(start_at, start_at + length)

    def split(self, hours: float) -> Iterator["Interval"]:
        """Yield the consecutive intervals of `hours` that tile this one.

        Raises:
            ContractError: if `hours` does not divide it.
        """
        length = timedelta(hours=hours)
        if length <= timedelta(0) or (self.end_at - self.start_at) % length:
            raise ContractError(f"{hours} hours do not divide the interval [{self.start_at}, {self.end_at})")
        start_at = self.start_at
        while start_at < self.end_at:
            yield Interval(start_at, start_at + length)
            start_at += length
