"""Keeps the index in step with the catalogue file and the feature store."""

from pathlib import Path

from models.catalogue import Catalogue
from serving.catalogue_file import no_catalogue, read_catalogue
from serving.catalogue_index import CatalogueIndex, lay_out
from serving.features import OnlineFeatures
from serving.status import CatalogueState


class CatalogueRefresh:
    """Builds indices; the file is parsed and laid out again only when it has been replaced.

    A night's rows arrive view by view and batch by batch, and a reading may fall between. So vectors that are others
    than before are taken once two readings in turn agree on them; only the very first are taken at once. What a new
    file has kept of the one before it keeps its vectors until then, and what is new in it is cold.

    `state` is how the last reading of the file went.
    """

    def __init__(self, path: Path, features: OnlineFeatures) -> None:
        self.state = CatalogueState.UNREAD
        self._path = path
        self._features = features
        self._index = lay_out(Catalogue((), ()))
        self._next: CatalogueIndex | None = None
        self._is_bare = True
        self._seen: tuple[int, int, int] | None = None

    def build(self) -> CatalogueIndex:
        """Build an index of the file as it is now and of the vectors as they were found twice. Blocks.

        It is the very one that was built before if both are as they were then.

        Raises:
            ContractError: if the file is not a catalogue, or there is none (yet).
            FeatureUnavailableError: if the feature store does not answer.
        """
        self.read_file()
        return self.read_vectors()

    def read_vectors(self) -> CatalogueIndex:
        """Build an index of the file that was read last and of the vectors as they were found twice. Blocks.

        Raises:
            FeatureUnavailableError: if the feature store does not answer.
        """
        last = self._next or self._index
        found = last.with_vectors(self._features)
        if self._is_bare or found is last:
            self._index, self._next, self._is_bare = found, None, False
        else:
            self._next = found
        return self._index

    def read_file(self) -> CatalogueIndex:
        """Build an index of the file as it is now, with the vectors that were in force before; zeros where none were.

        Raises:
            ContractError: if the file is not a catalogue, or there is none (yet).
        """
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._seen:
                index = lay_out(read_catalogue(self._path))
                # What the last reading found is still to be agreed with: a file may be replaced between any two.
                self._next = None if self._next is None else index.with_vectors_of(self._next)
                self._index, self._seen = index.with_vectors_of(self._index), stamp
        except FileNotFoundError as error:
            self.state = CatalogueState.MISSING
            raise no_catalogue(self._path) from error
        except Exception:
            self.state = CatalogueState.REFUSED
            raise
        self.state = CatalogueState.OK
        return self._index
