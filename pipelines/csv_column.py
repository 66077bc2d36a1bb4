"""CSV files read in pieces, with every fault named by file, line and column."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from models.error import ContractError

_PIECE_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Piece:
    """Some consecutive rows of a file, every column as text."""

    path: Path
    first_line: int
    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def text(self, column: str) -> list[str]:
        """Give a column as it stands."""
        return list(self.table[column].to_pylist())

    def values(self, column: str, kind: pa.DataType, expected: str) -> pa.ChunkedArray:
        """Read a column as numbers or times.

        Raises:
            ContractError: naming file, line and column of the first value that is not one.
        """
        texts = self.table[column]
        try:
            return texts.cast(kind)
        except pa.ArrowInvalid:
            row = next(row for row, text in enumerate(texts) if not _can_cast(text, kind))
            raise self.fault(row, column, expected) from None

    def refuse(self, bad: NDArray[np.bool_], column: str, expected: str) -> None:
        """Raise ContractError naming the first row that is `bad`, if there is one."""
        if bad.any():
            raise self.fault(int(np.argmax(bad)), column, expected)

    def fault(self, row: int, column: str, expected: str) -> ContractError:
        """Make the error of one value."""
        got = self.table[column][row].as_py()
        return ContractError(
            f"{self.path}, line {self.first_line + row}, column {column}: expected {expected}, got {got!r}"
        )


def read_pieces(path: Path, columns: Sequence[str]) -> Iterator[Piece]:
    """Read the named columns of a file, piece by piece.

    Raises:
        ContractError: naming file, line and column, if one is missing, a row has too few or too many, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            header = file.readline()
            names = _names(path, header, columns)
            line_number = 2
            while lines := file.readlines(_PIECE_BYTES):
                yield Piece(path, line_number, _parse(path, line_number, names, columns, lines))
                line_number += len(lines)
    except OSError as error:
        raise ContractError(f"cannot read {path}: {error}") from error


def _names(path: Path, header: bytes, columns: Sequence[str]) -> list[str]:
    names = next(csv.reader([_decoded(path, 1, header)]), [])
    for column in columns:
        if names.count(column) != 1:
            found = "twice" if column in names else "no such column"
            raise ContractError(f"{path}, line 1, column {column}: expected once in the header, got {found}")
    return names


def _parse(path: Path, first_line: int, names: list[str], columns: Sequence[str], lines: list[bytes]) -> pa.Table:
    unique = [f"{place}:{name}" for place, name in enumerate(names)]
    wanted = {unique[names.index(column)]: pa.string() for column in columns}
    try:
        table = pa_csv.read_csv(
            BytesIO(b"".join(lines)),
            pa_csv.ReadOptions(use_threads=False, column_names=unique),
            pa_csv.ParseOptions(ignore_empty_lines=False),
            pa_csv.ConvertOptions(column_types=wanted, include_columns=list(wanted), strings_can_be_null=False),
        ).rename_columns(list(columns))
    except pa.ArrowInvalid as error:
        for number, line in enumerate(lines, start=first_line):
            _check_line(path, number, names, line)
        raise ContractError(f"{path}, lines {first_line} to {first_line + len(lines) - 1}: {error}") from error
    if table.num_rows != len(lines):
        raise ContractError(f"{path}, lines {first_line} to {first_line + len(lines) - 1}: quoted text holds a newline")
    return table


def _check_line(path: Path, number: int, names: list[str], line: bytes) -> None:
    fields = next(csv.reader([_decoded(path, number, line)]), [])
    if len(fields) != len(names):
        column = names[len(fields)] if len(fields) < len(names) else names[-1]
        raise ContractError(
            f"{path}, line {number}, column {column}: expected {len(names)} fields in the line, got {len(fields)}"
        )


def _decoded(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        column = line[: error.start].count(b",") + 1
        raise ContractError(f"{path}, line {number}, column {column}: expected UTF-8, got {line[:80]!r}") from None


def _can_cast(text: Any, kind: pa.DataType) -> bool:
    cast: Callable[..., Any] = pc.cast
    try:
        cast(text, kind)
    except pa.ArrowInvalid:
        return False
    return True
