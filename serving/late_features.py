"""Online features of a store that may not be there yet: every profile, title and artwork is cold until it is."""

from collections.abc import Callable, Sequence
from datetime import datetime

from models.error import MarqueeError
from serving.features import InMemoryFeatures, KnownVectors, OnlineFeatures, ProfileFeatures, ProfileReader


class LateFeatures:
    """Opens the store when it can. A scorer starts before the first feature was built, and on a day without Redis.

    `state` is `ok` or why the store is not open.
    """

    def __init__(self, open_features: Callable[[], OnlineFeatures]) -> None:
        self.state = "not opened yet"
        self._open_features = open_features
        self._found: OnlineFeatures = InMemoryFeatures()

    def try_open(self) -> None:
        """Open the store unless it is open. Blocks."""
        if self.state == "ok":
            return
        try:
            self._found = self._open_features()
        except MarqueeError as error:
            self.state = str(error)
        else:
            self.state = "ok"

    def profile(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
        """Read one profile's row from the store, if it is open."""
        return self._found.profile(profile_id, at)

    def profile_reader(self, within_seconds: float) -> ProfileReader | None:
        """Make a reader of the store; None while it is not open."""
        return self._found.profile_reader(within_seconds) if self.state == "ok" else None

    def titles(self, title_ids: Sequence[str]) -> KnownVectors:
        """Read title vectors from the store, zeros while it is not open."""
        return self._found.titles(title_ids)

    def artworks(self, artwork_ids: Sequence[str]) -> KnownVectors:
        """Read artwork vectors from the store, zeros while it is not open."""
        return self._found.artworks(artwork_ids)
