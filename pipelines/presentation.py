"""How results and progress look in a terminal: results on stdout, everything else on stderr."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipelines.airflow_run import TaskProgress

_PIPE_WIDTH = 140


def _console(stderr: bool) -> Console:
    """Make a console; a pipe or file has no width of its own, and 80 columns would cut tables.

    Without emoji: `about:family:` is the name of a feature, and no picture.
    """
    console = Console(stderr=stderr, emoji=False)
    return console if console.is_terminal else Console(stderr=stderr, emoji=False, width=_PIPE_WIDTH)


out = _console(stderr=False)
err = _console(stderr=True)


def show(result: object, as_json: bool) -> None:
    """Print a record: one JSON object for machines, else a table of its fields."""
    plain = msgspec.to_builtins(result, enc_hook=str)
    if as_json:
        out.out(msgspec.json.encode(plain).decode(), highlight=False)
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in plain.items() if isinstance(plain, Mapping) else enumerate(plain):
        table.add_row(f"[bold]{escape(str(name))}[/]", escape(_words(value)))
    out.print(table)


def warn(message: str) -> None:
    """Print one sentence about what went wrong, on stderr."""
    err.print(f"[bold red]marquee:[/] {escape(message)}", soft_wrap=True)


class Progress:
    """A line on stderr that shows what is being done, how far it is, and for how long it has run."""

    def __init__(self, what: str, console: Console = err) -> None:
        columns = (SpinnerColumn(finished_text="[green]✓[/]"), TextColumn("[bold]{task.description}[/]"))
        self._bar = Bar(*columns, TextColumn("{task.fields[note]}"), TimeElapsedColumn(), console=console)
        self._line = self._bar.add_task(what, total=None, note="")
        self._n_done = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._bar.update(self._line, total=1, completed=1)
        self._bar.stop()

    def say(self, note: str) -> None:
        """Name the step that is under way."""
        self._bar.update(self._line, note=escape(note))

    def count(self, n_more: int) -> None:
        """Say that so many more decisions are done."""
        self._n_done += n_more
        self.say(f"{self._n_done:,} decisions")

    def total(self, n_done: int) -> None:
        """Say how many decisions are done by now."""
        self.say(f"{n_done:,} decisions")

    def task(self, found: TaskProgress) -> None:
        """Say which task of a DAG is under way."""
        self.say(f"{found.dag_id} {found.run_key}: {found.task} {found.state}")

    end = say


def _words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {_words(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list | tuple):
        return "\n".join(", ".join(_words(part).splitlines()) for part in value) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
