"""What a scorer may be told from outside."""

from enum import StrEnum
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Durability(StrEnum):
    """What an answer waits for. A killed process loses nothing under either; a machine that stops may.

    - durable: the disk has the decision before it is answered. Requests share syncs.
    - batched: the operating system has it; the disk follows within a second. Faster answers on a slow disk, and a
      power cut may cost the last second of acknowledged decisions.
    """

    DURABLE = "durable"
    BATCHED = "batched"


class ScorerSettings(BaseSettings):
    """Settings of one scorer, read once from `MARQUEE_*` variables by its entry point and handed down."""

    model_config = SettingsConfigDict(env_prefix="MARQUEE_", frozen=True, extra="ignore")

    home: Path = Field(default=Path(".marquee"), description="where all state lives")
    policy_url: str = Field(default="", description="fsspec URL of bundles and pointer; empty: HOME/policies")
    feature_repo: Path = Field(default=Path("feature_repo"), description="the Feast repository")
    feature_store_file: str = Field(default="feature_store.yaml", description="which configuration in the repository")

    join_memory: str = Field(
        default="4GB",
        pattern=r"^\d+(\.\d+)?\s?([KMGT]i?B)$",
        description="a join of training sets takes no more, and spills to HOME/feast/spill",
    )

    host: str = Field(default="127.0.0.1", description="the address that a scorer listens on")
    port: int = Field(default=8080, ge=0, le=65535, description="and its port")
    start_seconds: float = Field(
        default=10.0, gt=0, description="a start waits no longer for each step; what hangs goes on beside the pages"
    )
    policy_poll_seconds: float = Field(default=1.0, gt=0, description="how often the pointer is looked at")
    feature_refresh_seconds: float = Field(default=30.0, gt=0, description="how often title and artwork vectors reload")
    feature_budget_ms: float = Field(default=10.0, gt=0, description="a page waits no longer for its profile's row")
    profile_ttl_hours: float = Field(default=24.0 * 90, gt=0, description="an older profile row counts as missing")
    segment_seconds: float = Field(default=10.0, gt=0, description="an event log segment is closed at this age")
    segment_bytes: int = Field(default=64 * 2**20, gt=0, description="and at this size")
    stickiness_hours: float = Field(default=24.0, gt=0, description="how long a draw stays the same")
    stickiness_patience_hours: float = Field(
        default=3.0, ge=0, description="how long the next epoch waits for the features of its beginning"
    )
    repeated_motif_factor: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="what a motif keeps of its chance each time the page has it; 1: no rule",
    )
    uniform_cell_share: float = Field(default=0.1, ge=0, le=1, description="profiles that always see uniform artwork")
    log_durability: Durability = Field(default=Durability.DURABLE, description="what an answer waits for")
    log_budget_ms: float = Field(default=2000.0, gt=0, description="the lines of a page wait no longer for the disk")
    access_log: bool = Field(default=False, description="one log line a request, beside those about failures")
    otel_endpoint: str = Field(default="", description="OTLP/HTTP URL that traces go to (extra `otel`); empty: none")

    page_tokens: SecretStr = Field(default=SecretStr(""), description="bearer tokens for /v1/pages, by commas")
    event_tokens: SecretStr = Field(default=SecretStr(""), description="bearer tokens for /v1/events, by commas")
    admin_tokens: SecretStr = Field(default=SecretStr(""), description="bearer tokens for /metrics, by commas")

    max_body_bytes: int = Field(default=256 * 1024, gt=0, description="a longer body is refused")
    max_titles: int = Field(default=200, gt=0, description="titles on a page")
    max_events: int = Field(default=1000, gt=0, description="impressions and plays in one report")
    max_header_bytes: int = Field(default=16 * 1024, gt=0, description="request line and headers together")
    max_headers: int = Field(default=64, gt=0, description="header lines of a request")
    max_connections: int = Field(default=1024, gt=0, description="more are turned away")
    request_seconds: float = Field(default=10.0, gt=0, description="a request must have arrived whole within this")

    @property
    def events_dir(self) -> Path:
        """The event log: one folder of segments, in which every importer may make a folder of its own."""
        return self.home / "events"

    @property
    def catalogue_path(self) -> Path:
        """The titles and artworks in force, one parquet file."""
        return self.home / "catalogue.parquet"

    @property
    def policies_url(self) -> str:
        """Where bundles and the pointer to the live one are."""
        return self.policy_url or (self.home / "policies").absolute().as_uri()


def variable_of(name: str) -> str:
    """Spell a setting as the environment variable that it is read from."""
    return f"{ScorerSettings.model_config['env_prefix']}{name.upper()}"
