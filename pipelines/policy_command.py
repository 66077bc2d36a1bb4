"""Subcommands about policies: held against each other, explained, and brought to the scorers or away from them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipelines.option import AsJson, From, Until, utc
from pipelines.presentation import show, warn
from pipelines.settings import Settings


def evaluate(
    candidate: Annotated[
        str,
        typer.Argument(
            help="uniform, best-artwork, champion, live, a candidate of the newest round, or a bundle's version."
        ),
    ],
    since: From,
    until: Until,
    against: Annotated[str, typer.Option(help="The policy to be beaten, named likewise.")] = "live",
    report: Annotated[Path | None, typer.Option(help="Write the report here, its audit record beside it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hold one policy against another on a stretch of the log, and say what the gate would; nothing is promoted."""
    from pipelines.compare import compare
    from pipelines.compare_table import show_compared

    found = compare(Settings(), candidate, against, utc(since), utc(until), report)
    if as_json:
        show(found, as_json)
    else:
        show_compared(found)
    raise typer.Exit(0 if found.decision == "promote" else 1)


def explain(
    profile: str,
    title: str,
    policy: Annotated[str, typer.Option(help="A bundle's version, champion or uniform; else what scorers serve.")] = "",
    at: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%dT%H:%M:%S"], help="Moment of the decision, UTC; else now.")
    ] = None,
    device: Annotated[str, typer.Option(help="As a request's context says it; so are the next two.")] = "",
    country: str = "",
    language: str = "",
    score: Annotated[float, typer.Option(help="The recommender's own score of the title.")] = 0.0,
    row: Annotated[int, typer.Option(min=0, help="The title's row on the page.")] = 0,
    column: Annotated[int, typer.Option(min=0, help="The title's column on the page.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Say why a profile sees the artwork it sees: probabilities, scores by feature group, and the draw."""
    from pipelines.explain import explain as run
    from pipelines.explain_table import show_explanation
    from serving.request import AskedContext, AskedTitle, PageRequest

    asked = AskedTitle(title_id=title, score=score, row=row, column=column)
    context = AskedContext(device=device, country=country, language=language)
    request = PageRequest(profile_id=profile, titles=(asked,), context=context)
    found = run(Settings(), request, utc(at) if at else datetime.now(UTC), policy=policy)
    if as_json:
        show(found, as_json)
    else:
        show_explanation(found)


def policies(
    rounds: Annotated[int, typer.Option(min=1, help="Of how many of the newest rounds.")] = 5, as_json: AsJson = False
) -> None:
    """List the versions there are, what the gate said of each, and which is live."""
    from pipelines.known_policy import known_policies, show_policies

    found = known_policies(Settings(), rounds)
    if as_json:
        show(found, as_json)
    else:
        show_policies(found)


def promote(
    policy: Annotated[
        str, typer.Argument(help="A candidate of the newest round, or a version that `marquee policies` lists.")
    ],
    unproven: Annotated[
        bool, typer.Option("--unproven", help="Though the gate did not let it through; the record says so.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a policy that the gate let through the champion, by hand and with a record; `marquee publish` is next."""
    from pipelines.promotion import promote_by_hand

    done = promote_by_hand(Settings(), policy, unproven=unproven)
    if done.withdrawn_at is not None:
        since = done.withdrawn_at.isoformat(timespec="seconds")
        warn(f"{done.champion} was withdrawn by a rollback at {since}; it is let in again by hand")
    show(done, as_json)


def publish(as_json: AsJson = False) -> None:
    """Write the champion's bundle where scorers look, and move the pointer to it."""
    from pipelines.promotion import publish_champion

    show(publish_champion(Settings()), as_json)


def rollback(as_json: AsJson = False) -> None:
    """Withdraw the live policy and go back to the one before it, or to uniform."""
    from pipelines.rollback import rollback as run

    done = run(Settings())
    for failure in done.not_done:  # no exit code of failure: who repeats a rollback goes one more policy back
        warn(f"{done.version} is live again and the rollback must not be repeated, but {failure}")
    show(done, as_json)
