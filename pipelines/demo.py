"""`marquee demo`: the whole loop on a simulated service, with the truth beside every estimate.

Everything lies in HOME/demo. A demo that was interrupted goes on where it stopped: simulated days, refreshed intervals
and judged rounds are each there as a whole or not at all.
"""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape

from models.error import ContractError
from models.interval import Interval
from pipelines.airflow_run import migrate, run_dag
from pipelines.demo_example import demo_world, show_example
from pipelines.demo_round import true_values
from pipelines.demo_serve import serve_until_interrupted
from pipelines.part import write_whole
from pipelines.presentation import Progress, err, out
from pipelines.replay import read_round, report_dir, round_uri
from pipelines.round_table import show_round
from pipelines.settings import Settings
from pipelines.spark import refuse_without_spark
from pipelines.train import read_audit, write_report
from pipelines.watermark import refreshed_intervals
from serving.server import refuse_taken

_PLAN = "demo.json"
_CANDIDATES = ("uniform", "best-artwork", "vw-softmax", "linucb", "thompson")
"""Some of the written list: a week of a small service is soon trained on, and its evidence not shared by too many."""

_FIRST_ROUND_DAY = 5
"""The first day after which there is something to learn from: two days have matured by then."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What this demo simulates; kept in HOME/demo, so that a second run goes on with the same days."""

    first_at: datetime
    n_days: int
    n_pages_a_day: int


def run_demo(settings: Settings, *, n_days: int, n_pages_a_day: int, fresh: bool, serve: bool) -> None:
    """Simulate days, refresh after each, train and judge, print tables and an example, and serve what was approved.

    Args: fresh, whether to start clean; serve, whether to serve at the end until Ctrl-C.

    Raises:
        ContractError: if an earlier demo of other sizes is there and `fresh` is not asked for.
        MarqueeError: naming the step that failed.
    """
    console = err
    settings = demo_settings(settings)
    refuse_without_spark(settings)
    if serve:
        refuse_taken(settings)
    plan = plan_of(settings, n_days, n_pages_a_day, fresh=fresh)
    console.print(f"[bold]Marquee demo[/]: {plan.n_days} days of a small streaming service, in {settings.home}")
    rounds = _run_days(settings, plan, console)
    for as_of in rounds:
        found = read_round(round_uri(settings, as_of))
        audit, truth = read_audit(settings, as_of), true_values(settings, found)
        report = write_report(settings, found, audit, truth)
        show_round(found, audit, report, truth)
    show_example(settings, plan.first_at, plan.first_at + timedelta(days=plan.n_days))
    console.print(
        f"Every `marquee` command looks at this home after: export MARQUEE_HOME={settings.home}", soft_wrap=True
    )
    if serve:
        serve_until_interrupted(settings, console)


def _run_days(settings: Settings, plan: Plan, console: Console) -> list[datetime]:
    """Run every day's traffic and DAGs; returns the moments at which candidates were judged."""
    # Feast and the scorer take seconds to import: the first line should be there before.
    from pipelines.simulated_service import SimulatedService
    from serving.feast_features import open_features
    from serving.feature_store import apply_feature_repo

    with Progress("Setting up", console) as progress:
        progress.say("Airflow's database")
        migrate(settings)
        progress.say("the feature store")
        apply_feature_repo(settings)
        world = demo_world(plan.first_at)
        service = SimulatedService(settings, world, open_features(settings))
    rounds = []
    whole = Interval(plan.first_at, plan.first_at + timedelta(days=plan.n_days))
    for number, interval in enumerate(whole.split(settings.interval_hours), start=1):
        with Progress(f"Day {number} of {plan.n_days}", console) as progress:
            progress.say("visitors")
            made = service.run(interval, plan.n_pages_a_day, progress.count)
            if interval not in refreshed_intervals(settings):
                run_dag(settings, "refresh_features", interval=interval, progress=progress.task)
            verdict = ""
            if number >= min(_FIRST_ROUND_DAY, plan.n_days) and (number == plan.n_days or number % 2):
                done = report_dir(settings, interval.end_at) / "demo-done"
                if not done.exists():
                    run_dag(settings, "train_and_promote", as_of=interval.end_at, progress=progress.task)
                    done.touch()
                verdict = read_audit(settings, interval.end_at).reason
                rounds.append(interval.end_at)
            progress.end(f"{made.n_decisions:,} decisions, {made.n_impressions:,} seen, {made.n_plays:,} plays")
        if verdict and not (console.is_terminal and out.is_terminal):  # there it stands below the round's table
            console.print(f"  [bold]The gate:[/] {escape(verdict)}", soft_wrap=True)
    return rounds


def demo_settings(settings: Settings) -> Settings:
    """Keep the demo's state apart from everything else, its intervals days, and its candidates few unless told."""
    apart = {"home": (settings.home / "demo").absolute(), "policy_url": "", "lake_url": "", "registry_url": ""}
    candidates = settings.candidates or _CANDIDATES
    own = {"interval_hours": 24.0, "candidates": candidates, "settle_seconds": 0.0}  # a day's log is whole once made
    return settings.model_copy(update=apart | own)


def plan_of(settings: Settings, n_days: int, n_pages_a_day: int, *, fresh: bool) -> Plan:
    """Find the plan that is under way, or make one; `fresh` removes an earlier demo first.

    Raises:
        ContractError: if the folder holds something else than a demo, or a demo of other sizes.
    """
    _refuse_foreign(settings.home)
    if fresh:
        shutil.rmtree(settings.home, ignore_errors=True)
    path = settings.home / _PLAN
    if path.exists():
        plan = msgspec.json.decode(path.read_bytes(), type=Plan)
        if (plan.n_days, plan.n_pages_a_day) != (n_days, n_pages_a_day):
            raise ContractError(
                f"a demo of {plan.n_days} days and {plan.n_pages_a_day} pages a day is there already ({path}); "
                "ask for the same sizes to go on with it, or for --fresh to start clean"
            )
        return plan
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    plan = Plan(first_at=midnight - timedelta(days=n_days), n_days=n_days, n_pages_a_day=n_pages_a_day)
    write_whole(path, msgspec.json.encode(plan))
    return plan


def _refuse_foreign(home: Path) -> None:
    if home.exists() and any(home.iterdir()) and not (home / _PLAN).exists():
        raise ContractError(f"the demo wants a folder of its own, {home} holds something else")
