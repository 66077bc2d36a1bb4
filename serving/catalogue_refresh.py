"""Keeps the index in step with the catalogue file and the feature store."""

from pathlib import Path

from models.catalogue import Catalogue
from serving.catalogue_file import no_catalogue, read_catalogue
from serving.catalogue_index import CatalogueIndex, lay_out
from serving.features import OnlineFeatures


class CatalogueRefresh:
    """Builds indices; the file is parsed and laid out again only when it has been replaced."""

    def __init__(self, path: Path, features: OnlineFeatures) -> None:
        self._path = path
        self._features = features
        self._index = lay_out(Catalogue((), ()))
        self._seen: tuple[int, int, int] | None = None

    def build(self) -> CatalogueIndex:
        """Build an index of the file as it is now and of the vectors as they are now. Blocks.

        It is the one that was built before if both are as they were then.

        Raises:
            ContractError: if the file is not a catalogue, or there is none (yet).
            FeatureUnavailableError: if the feature store does not answer.
        """
        self._read()
        self._index = self._index.with_vectors(self._features)
        return self._index

    def build_cold(self) -> CatalogueIndex:
        """Build an index of the file as it is now, with the vectors that are known, zeros before any. Blocks.

        Raises:
            ContractError: if the file is not a catalogue, or there is none (yet).
        """
        self._read()
        return self._index

    def _read(self) -> None:
        try:
            found = self._path.stat()
        except FileNotFoundError as error:
            raise no_catalogue(self._path) from error
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp != self._seen:
            self._index = lay_out(read_catalogue(self._path))
            self._seen = stamp
