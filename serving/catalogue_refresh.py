"""Keeps the index in step with the catalogue file and the feature store."""

from pathlib import Path

from models.catalogue import Catalogue
from serving.catalogue_file import no_catalogue, read_catalogue
from serving.catalogue_index import CatalogueIndex, build_index
from serving.features import InMemoryFeatures, OnlineFeatures


class CatalogueRefresh:
    """Builds indices; the file is parsed again only when it has been replaced."""

    def __init__(self, path: Path, features: OnlineFeatures) -> None:
        self._path = path
        self._features = features
        self._catalogue = Catalogue((), ())
        self._seen: tuple[int, int, int] | None = None

    def build(self) -> CatalogueIndex:
        """Build an index of the file as it is now and of the vectors as they are now. Blocks.

        Raises:
            ContractError: if the file is not a catalogue, or there is none (yet).
            FeatureUnavailableError: if the feature store does not answer.
        """
        self._read()
        return build_index(self._catalogue, self._features)

    def build_cold(self) -> CatalogueIndex:
        """Build an index of the file as it is now, of which nothing is known: every vector is zeros. Blocks.

        Raises:
            ContractError: if the file is not a catalogue, or there is none (yet).
        """
        self._read()
        return build_index(self._catalogue, InMemoryFeatures())

    def _read(self) -> None:
        try:
            found = self._path.stat()
        except FileNotFoundError as error:
            raise no_catalogue(self._path) from error
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp != self._seen:
            self._catalogue = read_catalogue(self._path)
            self._seen = stamp
