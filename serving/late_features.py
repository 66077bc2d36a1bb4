"""Online features of a store that may not be there yet: it is opened when it can be."""

from collections.abc import Callable, Sequence
from datetime import datetime

from models.error import FeatureUnavailableError, NotAppliedError
from serving.features import InMemoryFeatures, KnownVectors, OnlineFeatures, ProfileFeatures, ProfileReader
from serving.status import StoreState


class LateFeatures:
    """Opens the store when it can. A scorer starts before the first feature was built, and on a day without Redis.

    Where no definitions were ever applied, nothing is known of anybody: every profile, title and artwork is cold. Where
    there is a store that cannot be opened, much may be known, and each reading raises.

    `state` is how opening the store and the last reading of vectors in bulk went, and `detail` what was raised.
    """

    def __init__(self, open_features: Callable[[], OnlineFeatures]) -> None:
        self.state = StoreState.UNOPENED
        self.detail = ""
        self._open_features = open_features
        self._found: OnlineFeatures | None = None

    def try_open(self) -> None:
        """Open the store unless it is open. Blocks."""
        if self.state in (StoreState.OK, StoreState.UNREAD):
            return
        try:
            self._found = self._open_features()
        except NotAppliedError as error:
            self._found = InMemoryFeatures()
            self.state, self.detail = StoreState.NOT_APPLIED, str(error)
        except Exception as error:
            # The boundary to a feature store, whose registry and clients raise what they like.
            self._found = None
            self.state, self.detail = StoreState.REFUSED, str(error) or repr(error)
        else:
            self.state, self.detail = StoreState.OK, ""

    def profile(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
        """Read one profile's row from the store."""
        return self._store().profile(profile_id, at)

    def profile_reader(self, within_seconds: float) -> ProfileReader | None:
        """Make a reader of the store; None where only a thread can read it."""
        return self._store().profile_reader(within_seconds)

    def titles(self, title_ids: Sequence[str]) -> KnownVectors:
        """Read title vectors from the store."""
        return self._bulk(lambda store: store.titles(title_ids))

    def artworks(self, artwork_ids: Sequence[str]) -> KnownVectors:
        """Read artwork vectors from the store."""
        return self._bulk(lambda store: store.artworks(artwork_ids))

    def _store(self) -> OnlineFeatures:
        if self._found is None:
            raise FeatureUnavailableError(f"the feature store is not open: {self.detail or self.state}")
        return self._found

    def _bulk(self, read: Callable[[OnlineFeatures], KnownVectors]) -> KnownVectors:
        store = self._store()
        try:
            found = read(store)
        except Exception as error:
            self._note(StoreState.UNREAD, str(error) or repr(error))
            raise
        self._note(StoreState.OK, "")
        return found

    def _note(self, state: StoreState, detail: str) -> None:
        if self.state is not StoreState.NOT_APPLIED:
            self.state, self.detail = state, detail
