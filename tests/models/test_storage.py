"""What cannot be read is told as ours, whatever the client of a store raises."""

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from models.error import BundleError
from models.storage import Folder


class Odd(MemoryFileSystem):
    """Raises what is neither ours nor an `OSError`, as clients of buckets do."""

    protocol = "odd"

    def cat_file(self, *_: object, **__: object) -> bytes:
        raise RuntimeError("no credentials")


def test_an_error_of_a_stores_client_names_the_file_that_it_kept_from_us() -> None:
    fsspec.register_implementation("odd", Odd, clobber=True)
    with pytest.raises(BundleError, match=r"odd://bucket/live\.json: no credentials"):
        Folder("odd://bucket").read("live.json")
