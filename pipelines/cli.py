"""The `marquee` command: each subcommand parses its words and calls one function.

Results go to stdout (`--json` for machines), progress and logs to stderr. Exit code 0: done; 1: refused by the gate;
2: misuse or input that breaks its contract.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from models.error import MarqueeError, NotApprovedError
from models.interval import Interval
from pipelines.airflow_run import DagRun
from pipelines.option import AsJson, AsOf, Day, From, Until, utc
from pipelines.policy_command import evaluate, explain, policies, promote, publish, rollback
from pipelines.presentation import Progress, show, warn
from pipelines.settings import Settings
from serving.settings import variable_of

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Artwork personalization, from event log to scorer.")
imports = typer.Typer(no_args_is_help=True, help="Bring a real log in through the same door as Marquee's own.")
app.add_typer(imports, name="import")


def main() -> None:
    """Run the command line; a refusal or misuse is one sentence on stderr, never a stack trace."""
    try:
        app()
    except (MarqueeError, SettingsError, OSError) as error:
        warn(str(error))
        raise SystemExit(1 if isinstance(error, NotApprovedError) else 2) from error
    except ValidationError as error:
        for problem in error.errors():
            warn(f"{variable_of('_'.join(map(str, problem['loc'])))}: {problem['msg']}, got {problem['input']!r}")
        raise SystemExit(2) from error


@app.command()
def demo(
    serve: Annotated[bool, typer.Option(help="Serve the approved policy at the end, until Ctrl-C.")] = True,
    fresh: Annotated[bool, typer.Option(help="Start clean instead of resuming.")] = False,
    days: Annotated[int, typer.Option(min=3, help="Days to simulate.")] = 7,
    pages: Annotated[int, typer.Option(min=1, help="Pages asked for each day.")] = 1500,
) -> None:
    """Run the whole loop on a simulated streaming service, then serve what was approved."""
    from pipelines.demo import run_demo

    run_demo(Settings(), n_days=days, n_pages_a_day=pages, fresh=fresh, serve=serve)


@app.command()
def simulate(
    since: From,
    days: Annotated[int, typer.Option(min=1, help="How many days.")] = 1,
    pages: Annotated[int, typer.Option(min=1, help="Pages asked for each day.")] = 1500,
    seed: Annotated[int, typer.Option(min=0, help="Which simulated service.")] = 2017,
    as_json: AsJson = False,
) -> None:
    """Simulate traffic of a small streaming service through the scorer's own code."""
    from pipelines.simulated_service import simulate_days
    from simulation.spec import WorldSpec

    settings = Settings()
    first = Interval.containing(utc(since), settings.interval_hours)
    spec = WorldSpec(seed=seed, first_day_at=first.start_at)
    with Progress("Simulating") as progress:
        show(simulate_days(settings, first, days, n_pages_a_day=pages, spec=spec, progress=progress.count), as_json)


@imports.command("obd")
def import_open_bandit(path: Path, as_json: AsJson = False) -> None:
    """Read the Open Bandit Dataset in its published layout."""
    from pipelines.import_obd import import_obd

    _import(lambda settings, progress: import_obd(settings, path, progress=progress), as_json)


@imports.command("upworthy")
def import_upworthy_archive(
    path: Path,
    max_impressions_per_title: Annotated[
        int | None, typer.Option(min=1, help="Take a random sample of so many of larger tests.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read packages of the Upworthy Research Archive; aggregated counts become impressions."""
    from pipelines.import_upworthy import import_upworthy

    _import(
        lambda settings, progress: import_upworthy(
            settings, path, max_impressions_per_title=max_impressions_per_title, progress=progress
        ),
        as_json,
    )


@app.command()
def refresh(start: Day, as_json: AsJson = False) -> None:
    """Rebuild one interval: ingest, attribution, features and the online store."""
    from pipelines.backfill import backfill as run

    settings = Settings()
    interval = Interval.containing(utc(start), settings.interval_hours)
    with Progress("Refreshing") as progress:
        show(_rebuilt(run(settings, interval.start_at, interval.end_at, progress=progress.task)), as_json)


@app.command()
def backfill(since: From, until: Until, as_json: AsJson = False) -> None:
    """Rebuild every interval of a stretch of the past, in order, through the same DAG."""
    from pipelines.backfill import backfill as run

    with Progress("Backfilling") as progress:
        show(_rebuilt(run(Settings(), utc(since), utc(until), progress=progress.task)), as_json)


@app.command()
def train(as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Train all candidates, replay, judge, and promote and publish what the gate lets through."""
    from pipelines.train import show_trained
    from pipelines.train import train as run

    settings = Settings()
    with Progress("Training") as progress:
        outcome = run(settings, as_of and utc(as_of), progress=progress.task)
    if as_json:
        show(outcome, as_json)
    else:
        show_trained(settings, outcome)
    raise typer.Exit(0 if outcome.promoted else 1)


for about_policies in (evaluate, explain, policies, promote, publish, rollback):
    app.command()(about_policies)


@app.command()
def serve() -> None:
    """Answer pages over HTTP until Ctrl-C."""
    from serving.server import run

    run(Settings())


@app.command()
def precompute(
    hour: Annotated[int, typer.Option(min=0, max=23, help="The viewer's own hour that the answers are for.")],
    day: Annotated[int, typer.Option(min=0, max=6, help="The viewer's own day of the week, from Monday.")],
    to: Annotated[Path | None, typer.Option(help="The parquet file to replace; else HOME/precomputed.parquet.")] = None,
    device: Annotated[str, typer.Option(help="The device that the answers are for.")] = "",
    country: Annotated[str, typer.Option(help="The country.")] = "",
    language: Annotated[str, typer.Option(help="The language.")] = "",
    as_json: AsJson = False,
) -> None:
    """Decide every title for every active profile, for caches ahead of the balancer."""
    from pipelines.precompute import precompute as run
    from serving.feast_features import open_features
    from serving.request import AskedContext
    from serving.service import utc_now

    settings = Settings()
    context = AskedContext(device=device, country=country, language=language, local_hour=hour, day_of_week=day)
    path = to or settings.home / "precomputed.parquet"
    features = open_features(settings)
    with Progress("Precomputing") as progress:
        show(run(settings, path, context, utc_now, features=features, progress=progress.total), as_json)


@app.command()
def freshen() -> None:
    """Bring what profiles do to their online rows within seconds, until Ctrl-C; runs beside the scorers."""
    from pipelines.freshen_command import run

    run(Settings())


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def airflow(
    words: Annotated[list[str], typer.Argument(help="The words of Airflow's command, such as `standalone`.")],
) -> None:
    """Run Airflow's own command on this home: its scheduler and console, its backfills, all it knows."""
    from pipelines.airflow_command import run_airflow

    run_airflow(Settings(), words)


@app.command()
def status(
    as_json: AsJson = False,
    metrics: Annotated[bool, typer.Option("--metrics", help="Print the figures of features for Prometheus.")] = False,
) -> None:
    """Say what is in the lake, which intervals are done, how features fare, and which policy is live."""
    from pipelines.feature_metric import feature_metrics
    from pipelines.status import status as run
    from pipelines.status_table import show_status

    settings = Settings()
    found = run(settings)
    for view, health in found.views.items():
        if health.drifted:
            warn(f"{view} has drifted (PSI above {settings.drift_warning:g}): {', '.join(health.drifted)}")
    if metrics:
        typer.echo(feature_metrics(settings, found), nl=False)
    elif as_json:
        show(found, as_json)
    else:
        show_status(found, settings.drift_warning)


@app.command()
def settings(as_json: AsJson = False) -> None:
    """List every setting: its variable, its value here, and what it is."""
    from pipelines.settings_table import all_settings, show_settings

    found = all_settings(Settings())
    if as_json:
        show(found, as_json)
    else:
        show_settings(found)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check everything that Marquee relies on and say what is wrong."""
    from pipelines.doctor import examine

    findings = examine(Settings())
    show(findings, as_json)
    raise typer.Exit(0 if findings.healthy else 2)


def _rebuilt(runs: list[DagRun]) -> dict[str, object]:
    return {"intervals": len(runs), "first": runs[0].run_key, "last": runs[-1].run_key}


def _import(run: Callable[[Settings, Callable[[int], None]], Any], as_json: bool) -> None:
    with Progress("Importing") as progress:
        show(run(Settings(), progress.total), as_json)
