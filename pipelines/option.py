"""Words that many subcommands take, each written once."""

from datetime import UTC, datetime
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, on one line.")]
Day = Annotated[datetime, typer.Argument(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Start of the interval, UTC.")]
From = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="First moment, UTC.")]
Until = Annotated[
    datetime, typer.Option("--to", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="End, exclusive, UTC.")
]
AsOf = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="What was known by then; else all that is."),
]


def utc(moment: datetime) -> datetime:
    """Take a moment that was typed without an offset as UTC."""
    return moment.replace(tzinfo=UTC)
