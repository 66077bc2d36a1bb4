"""What batch work may be told from outside: all that a scorer may, and more."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

import msgspec
from pydantic import AwareDatetime, Field, SecretStr, field_validator

from pipelines.cron import interval_cron
from serving.settings import ScorerSettings, variable_of


class Settings(ScorerSettings):
    """Settings of one process, read once from `MARQUEE_*` variables by its entry point and handed down."""

    lake_url: str = Field(default="", description="where the Delta tables are; empty: HOME/lake")
    registry_url: str = Field(default="", description="MLflow tracking URI; empty: SQLite in HOME")
    interval_hours: float = Field(default=24.0, gt=0, description="length of a data interval; it divides a day")
    settle_seconds: float = Field(
        default=30.0,
        ge=0,
        description="an interval is ingested so long after its end; longer than log_budget_ms, and than clocks differ",
    )
    first_interval_at: AwareDatetime | None = Field(
        default=None, description="the scheduler builds every interval since then; empty: only the newest one"
    )
    attribution_window_hours: float = Field(default=48.0, gt=0, description="a play counts for an impression this long")
    attribution_grace_hours: float = Field(default=6.0, ge=0, description="and may be reported this much later")
    max_cache_hours: float = Field(
        default=24.0 * 7, gt=0, description="an impression may follow its decision this long"
    )
    batch_memory_gib: float = Field(
        default=1.0, gt=0, description="sorts and joins of a step hold no more in memory; the rest goes to HOME/spill"
    )
    reward_rule: str = Field(default="quality-play-1", description="which plays are quality plays")
    taste_half_life_days: float = Field(default=30.0, gt=0, description="how fast a profile's taste fades with time")
    taste_half_life_minutes: float = Field(
        default=300.0, gt=0, description="and how fast with the quality minutes it has watched since"
    )
    freshen_seconds: float = Field(default=0.5, gt=0, description="how often `marquee freshen` looks for new events")
    engine: Literal["duckdb", "spark"] = Field(default="duckdb", description="what runs joins and counts")
    spark_master: str = Field(default="local[*]", description="where Spark runs, if it is the engine")
    training_window_days: float = Field(default=28.0, gt=0, description="matured days that candidates learn from")
    warm_start: bool = Field(
        default=False, description="the champion's candidate learns on from the champion; false: all learn the window"
    )
    max_skewed_share: float = Field(
        default=0.1, ge=0, le=1, description="training stops where more decisions were served from other features"
    )
    drift_warning: float = Field(
        default=0.25, gt=0, description="population stability index above which a feature is said to have drifted"
    )
    holdout_share: float = Field(default=0.4, gt=0, lt=1, description="profiles whose decisions only judge")
    candidates: tuple[str, ...] = Field(default=(), description="names to train; empty: the whole written list")
    gate_alpha: float = Field(
        default=0.05, gt=0, lt=1, description="chance that a champion ever loses its place to a policy no better"
    )
    gate_planned_days: float = Field(
        default=30.0, gt=0, description="looks of a champion's first days, a look an interval, have most of gate_alpha"
    )
    gate_min_profiles: int = Field(default=200, ge=2, description="fewer held-out profiles are held")
    gate_min_effective_sample: float = Field(
        default=500.0, gt=0, description="a policy whose weights leave fewer independent decisions is held"
    )
    gate_min_matured_share: float = Field(
        default=0.5, ge=0, le=1, description="a window of which fewer rewards are known is held"
    )
    gate_max_segment_loss: float = Field(
        default=0.0, ge=0, description="take fraction that no segment may be shown to lose more than"
    )
    gate_max_changed_share: float = Field(
        default=0.95, gt=0, le=1, description="share of artworks that may change at most"
    )

    @field_validator("interval_hours")
    @classmethod
    def _tiles_a_day(cls, hours: float) -> float:
        interval_cron(hours)  # refuses what no schedule can fire at
        return hours

    @property
    def attribution_window(self) -> timedelta:
        """How long after an impression a play counts for it."""
        return timedelta(hours=self.attribution_window_hours)

    @property
    def maturity(self) -> timedelta:
        """How long after an impression its reward is known: the attribution window and the grace for late reports."""
        return self.attribution_window + timedelta(hours=self.attribution_grace_hours)

    @property
    def taste_half_life(self) -> timedelta:
        """How long until time alone has faded half of a taste."""
        return timedelta(days=self.taste_half_life_days)

    @property
    def lake_dir(self) -> str:
        """The root of the Delta tables, a path or fsspec URL."""
        return self.lake_url or str((self.home / "lake").absolute())

    @property
    def features_dir(self) -> Path:
        """Feature tables: plain parquet, the one form that Feast reads without surprises."""
        return self.home / "features"

    @property
    def training_dir(self) -> Path:
        """Training sets, one folder for each `as_of`."""
        return self.home / "training"

    @property
    def reports_dir(self) -> Path:
        """Evaluation records, audit records and reports."""
        return self.home / "reports"

    @property
    def registry_uri(self) -> str:
        """Where MLflow keeps versions and the alias `champion`."""
        return self.registry_url or f"sqlite:///{(self.home / 'registry.db').absolute()}"


def environment_of(settings: Settings) -> dict[str, str]:
    """Spell settings as the `MARQUEE_*` variables of another process, secrets too."""
    values = settings.model_dump(mode="json", exclude_none=True)
    values |= {name: found.get_secret_value() for name, found in settings if isinstance(found, SecretStr)}
    return {
        variable_of(name): value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in values.items()
    }
