"""The folder of a training set while it is built: files that are there already stay as they are."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.part import digest, file_digest_of, write_draft, write_whole

MANIFEST = "manifest.json"


class TrainingFolder:
    """One set's files by name, with their digests.

    Args: directory, made with the first file.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._digests: dict[str, str] = {}

    @property
    def data_version(self) -> str:
        """Name the content of all files so far."""
        return digest(json.dumps(self._digests, sort_keys=True).encode())

    def put(self, name: str, schema: pa.Schema, rows: Iterable[pa.RecordBatch]) -> None:
        """Write one file, as a stream, where it differs from what is there; the manifest is away from then on."""
        path = self._directory / name
        draft = write_draft(path, schema, rows)
        self._digests[name] = file_digest_of(draft)
        if path.is_file() and file_digest_of(path) == self._digests[name]:
            draft.unlink()
            return
        (self._directory / MANIFEST).unlink(missing_ok=True)
        draft.replace(path)

    def seal(self, fields: dict[str, Any]) -> None:
        """Write the manifest, which lists the files, and drop those of an earlier build that are no part of the set."""
        manifest = fields | {"files": self._digests}
        write_whole(self._directory / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
        for path in self._directory.glob("*.parquet"):
            if path.name not in self._digests:
                path.unlink()
