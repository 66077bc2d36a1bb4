"""What a world is made of: every size and effect that its truth depends on."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from models.error import ContractError


@dataclass(frozen=True, slots=True)
class EffectSpec:
    """How strongly each cause moves the chance of a quality play.

    The truth, for profile p, title t, artwork a:

        chance = base · (affinity_floor + affinity_slope · taste_p·about_t) · popularity_t
               · appeal_a · (1 + style · taste_p·style_a)
               · device · hour · 1 / (1 + row_decay · row),  clipped to [0.001, 0.95]

    `style` is `style_familiar` where the profile has played the title before and `style_new` where it has not; such a
    return also multiplies the chance by `familiar_lift`. The appeal of clickbait is `clickbait_appeal` times what it
    would be, and those whom it does not win over start `clickbait_lift` times as often, and leave. taste_p is the taste
    of the day (`ChangeSpec`). All are factors without unit, `base` is a probability.
    """

    base: float = 0.102
    affinity_floor: float = 0.05
    affinity_slope: float = 1.6
    popularity_sigma: float = 0.25
    appeal_sigma: float = 0.07
    style_new: float = 7.0
    style_familiar: float = 3.5
    familiar_lift: float = 1.15
    row_decay: float = 0.06
    hour_swing: float = 0.12
    short_play: float = 0.05
    clickbait_share: float = 0.08
    clickbait_lift: float = 5.0
    clickbait_appeal: float = 0.9


@dataclass(frozen=True, slots=True)
class ChangeSpec:
    """What time changes.

    An average profile's taste goes `drift_per_day` of the way to an altogether other taste each day, and from there on
    to the next. The season moves what is thought of each genre by up to `season_swing` of it, over a year. On day
    `taste_change_day`, counted from 0, `taste_change_share` of the profiles have a new taste from one day to the next.
    Through all `n_days` days, `titles_per_day` titles and `artworks_per_day` artworks of earlier titles launch on the
    average day; a world of more days begins with the same ones.

    Raises:
        ContractError: if a rate or share cannot be.
    """

    drift_per_day: float = 0.008
    season_swing: float = 0.2
    taste_change_day: int | None = None
    taste_change_share: float = 1.0
    n_days: int = 90
    titles_per_day: float = 0.5
    artworks_per_day: float = 3.0

    def __post_init__(self) -> None:
        for name in ("drift_per_day", "titles_per_day", "artworks_per_day", "n_days"):
            if not getattr(self, name) >= 0:
                raise ContractError(f"{name} must be at least 0, got {getattr(self, name)!r}")
        for name, below in (("season_swing", 0.95), ("taste_change_share", 1.0)):
            if not 0.0 <= getattr(self, name) <= below:
                raise ContractError(f"{name} must be in [0, {below}], got {getattr(self, name)!r}")


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """What devices do to events on their way: shares are probabilities per event, delays are what they say.

    A decision on row r is seen with probability `seen_first_row · seen_decay ** r`. Reports reach the scorer after an
    exponential network delay; a late one waits for `late_minutes` (uniform between the two) before it is sent at all.
    A cached decision is seen only `cached_hours` (log-uniform) after it was made; a repeated one is seen again as much
    later. Each report of an impression or a play is lost for good with `lost_share`. Of all (profile, device),
    `clock_off_share` have a clock that is off, for as long as the world lasts, by `clock_off_minutes` (log-uniform),
    as many behind as ahead: what they say happened then is off, what was received when is not.

    Raises:
        ContractError: if a share is not a probability or a range falls.
    """

    seen_first_row: float = 0.97
    seen_decay: float = 0.85
    seen_delay_seconds: float = 4.0
    network_delay_seconds: float = 2.0
    duplicate_share: float = 0.02
    late_share: float = 0.03
    late_minutes: tuple[float, float] = (5.0, 300.0)
    cached_share: float = 0.03
    repeated_share: float = 0.02
    cached_hours: tuple[float, float] = (1.0, 72.0)
    lost_share: float = 0.01
    clock_off_share: float = 0.02
    clock_off_minutes: tuple[float, float] = (1.0, 4_320.0)

    def __post_init__(self) -> None:
        shares = ("seen_first_row", "seen_decay", "duplicate_share", "late_share", "cached_share", "repeated_share")
        for name in (*shares, "lost_share", "clock_off_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ContractError(f"{name} must be in [0, 1], got {getattr(self, name)!r}")
        for name in ("late_minutes", "cached_hours", "clock_off_minutes"):
            low, high = getattr(self, name)
            if not 0.0 < low <= high:
                raise ContractError(f"{name} must rise from more than 0, got {(low, high)}")


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """Sizes and effects of a simulated streaming service; the same spec is the same world, to the last bit.

    `artworks_per_title` is (least, most), both included; `page_titles` titles lie on a page in rows of `row_width`.
    `n_titles` are there on the first day with all their artworks; what launches later is told by `change`.

    Raises:
        ContractError: if a size cannot be.
    """

    seed: int
    n_profiles: int = 1_000
    n_titles: int = 48
    artworks_per_title: tuple[int, int] = (2, 30)
    first_day_at: datetime = datetime(2026, 11, 1, tzinfo=UTC)
    n_cast: int = 8
    page_titles: int = 20
    row_width: int = 5
    effects: EffectSpec = field(default_factory=EffectSpec)
    change: ChangeSpec = field(default_factory=ChangeSpec)
    devices: DeviceSpec = field(default_factory=DeviceSpec)

    def __post_init__(self) -> None:
        least, most = self.artworks_per_title
        if not 2 <= least <= most:
            raise ContractError(f"artworks_per_title must rise from at least 2, got {self.artworks_per_title}")
        for name in ("n_profiles", "n_titles", "page_titles", "row_width"):
            if getattr(self, name) < 1:
                raise ContractError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0 or self.n_cast < 0:
            raise ContractError(f"seed and n_cast must be at least 0, got {self.seed} and {self.n_cast}")
        if self.first_day_at.utcoffset() != timedelta(0):
            raise ContractError(f"first_day_at must be aware UTC, got {self.first_day_at!r}")
