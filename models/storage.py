"""Small files on any fsspec URL: read whole, or replaced whole."""

import os
from typing import Any
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from models.error import BundleError


class Folder:
    """A folder of small files, local or remote, named by paths relative to it."""

    def __init__(self, url: str) -> None:
        found: tuple[Any, str] = fsspec.core.url_to_fs(url)
        self.url = url.rstrip("/")
        self._files, self._root = found

    def read(self, path: str) -> bytes | None:
        """Read a file; None where there is none.

        Raises:
            BundleError: if it is there but cannot be read.
        """
        try:
            return bytes(self._files.cat_file(f"{self._root}/{path}"))
        except FileNotFoundError:
            return None
        except Exception as error:
            # The boundary to whatever store: the errors of its client need be neither `OSError` nor ours.
            raise BundleError(f"cannot read {self.url}/{path}: {str(error) or repr(error)}") from error

    def replace(self, path: str, content: bytes) -> None:
        """Write a file under a name that nobody reads and move it in place: readers see the old or the new, whole."""
        target = f"{self._root}/{path}"
        hidden = f"{target}.{uuid4().hex}.tmp"
        self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
        try:
            with self._files.open(hidden, "wb") as file:
                file.write(content)
                if isinstance(self._files, LocalFileSystem):
                    file.flush()
                    os.fsync(file.fileno())
            self._files.mv(hidden, target)
        except BaseException:
            if self._files.exists(hidden):
                self._files.rm_file(hidden)
            raise
