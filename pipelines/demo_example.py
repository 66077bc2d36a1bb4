"""The demo's last picture: what the live policy shows of one title to two profiles of opposite taste."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from rich.markup import escape

from models.interval import Interval
from pipelines.example import Example, find_example, words
from pipelines.example_page import example_page
from pipelines.part import write_whole
from pipelines.presentation import out
from pipelines.settings import Settings
from pipelines.truth import ledger_before
from serving.catalogue_file import read_catalogue
from serving.catalogue_index import build_index
from serving.policy_source import BundlePolicySource
from serving.scorer import Scorer
from simulation.world import DEMO_SPEC, World

EXAMPLE_FILE = "example.html"


def demo_world(first_at: datetime) -> World:
    """Make the demo's world, whose first day is the plan's."""
    return World(replace(DEMO_SPEC, first_day_at=first_at))


def show_example(settings: Settings, first_at: datetime, at: datetime) -> Path:
    """Ask the scorer's own code, with the features and the policy that are online, print the answer and draw it.

    Args: first_at, the world's first day; at, the moment of the question.

    Returns: the page, HOME/example.html.
    """
    found = _ask(settings, demo_world(first_at), at)
    path = settings.home / EXAMPLE_FILE
    write_whole(path, example_page(found).encode())
    out.print("[bold]One title, two tastes[/]")
    for line in words(found):
        out.print(escape(line), soft_wrap=True)
    out.print(f"Both as pictures: {escape(str(path))}\n", soft_wrap=True)
    return path


def _ask(settings: Settings, world: World, at: datetime) -> Example:
    # Feast takes seconds to import.
    from serving.feast_features import open_features

    features = open_features(settings)
    index = build_index(read_catalogue(settings.catalogue_path), features)
    policy = BundlePolicySource(settings.policies_url).poll()
    scorer = Scorer(settings, features, index=index, policy=policy)
    ledger = ledger_before(settings, world, Interval.containing(at, settings.interval_hours))
    return find_example(scorer, world, ledger, at, uniform_share=settings.uniform_cell_share)
