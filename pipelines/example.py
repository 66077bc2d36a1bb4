"""The article's own example: one title, and two profiles of opposite taste who are shown different artwork of it.

The scorer's own code decides for the profiles that like comedy most and for those that like romance most, of all titles
that have an artwork of each kind. Shown is the pair to which the live policy gave what they like with the greatest
probability, and how often it did so among all of them: nothing is drawn twice, and nothing is made up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from models.assignment import in_uniform_cell
from models.catalogue import Artwork, Title
from models.decision import Decision
from models.error import ContractError
from models.identity import keys_of
from models.layout import GENRES
from models.policy import Policy, UniformPolicy
from serving.lookup import look_up
from serving.page_batch import build_page_batch
from serving.request import AskedContext, AskedTitle, PageRequest
from serving.scorer import UNIFORM_VERSION, Scorer
from simulation.launch import Times
from simulation.ledger import Ledger
from simulation.population import Ints, taste_names
from simulation.world import World

PAIR: Final = ("comedy", "romance")
N_LOVERS: Final = 40
_N_TASTES, _TASTE = 3, 0.2
"""So many names are told of a taste at most, and none of less weight."""
_CONTEXT = AskedContext(device="tv", local_hour=20, day_of_week=4)


@dataclass(frozen=True, slots=True)
class Viewer:
    """One profile and what it is shown of the title.

    Args: genre, what it likes; taste, the strongest names first; shown, what was drawn; pmf and truth, probability and
    true chance of a quality play of each artwork by id; n_alike, how many of `N_LOVERS` such profiles saw the genre.
    """

    profile_id: str
    genre: str
    taste: tuple[tuple[str, float], ...]
    shown: Artwork
    propensity: float
    pmf: dict[str, float]
    truth: dict[str, float]
    n_alike: int


@dataclass(frozen=True, slots=True)
class Example:
    """A title with its artworks and two viewers of it.

    `differs` where each is shown the genre that it likes, and the policy means it: with more than 1/K probability.
    """

    title: Title
    artworks: tuple[Artwork, ...]
    policy_version: str
    at: datetime
    viewers: tuple[Viewer, Viewer]
    differs: bool


def find_example(scorer: Scorer, world: World, ledger: Ledger, at: datetime, *, uniform_share: float) -> Example:
    """Ask the scorer for profiles of two tastes and choose the title and the two that tell most.

    Args: ledger, who has played what by `at`; uniform_share, of the profiles that the policy does not decide for.

    Where no title shows each its own genre, it is the one whose probabilities come nearest to that, as it is.

    Raises:
        ContractError: if no launched title has an artwork of each genre.
    """
    catalogue, pair = world.catalogue(), PAIR
    kinds = {
        title_id: {artwork.artwork_id: stressed(artwork) for artwork in catalogue.eligible(title_id, at)}
        for title_id in catalogue.titles
    }
    titles = [title_id for title_id, kind in kinds.items() if set(pair) <= set(kind.values())]
    if not titles:
        raise ContractError(f"no title has an artwork of each of {pair} by {at}")
    lovers = [_lovers(world, at, genre, other, uniform_share) for genre, other in (pair, pair[::-1])]
    pages = [[_decide(scorer, world, titles, int(profile), at) for profile in group] for group in lovers]
    liked = np.array([
        [[_leaning(one, kinds[one.title_id][one.artwork_id] == genre) for one in page] for page in group]
        for genre, group in zip(pair, pages, strict=True)
    ])
    place = int(np.argmax(liked.max(axis=1).min(axis=0)))
    first, second = (
        _viewer(scorer, world, ledger, at, int(group[row]), genre, page[row][place], (kind[:, place] > 0).sum())
        for genre, group, page, kind, row in zip(
            pair, lovers, pages, liked, liked[:, :, place].argmax(axis=1), strict=True
        )
    )
    title_id = titles[place]
    return Example(
        title=catalogue.titles[title_id],
        artworks=tuple(catalogue.eligible(title_id, at)),
        policy_version=UNIFORM_VERSION if scorer.policy is None else scorer.policy.version,
        at=at,
        viewers=(first, second),
        differs=bool(liked[:, :, place].max(axis=1).min() > 0),
    )


def _leaning(decision: Decision, is_own: bool) -> float:
    """Give the propensity of what a viewer likes, if it is more than chance would give it; else something below 0."""
    meant = is_own and decision.propensity * len(decision.actions) > 1.0
    return decision.propensity if meant else decision.propensity - 1.0


def stressed(artwork: Artwork) -> str:
    """Name what an artwork stresses most."""
    return max(artwork.styles, key=lambda name: (artwork.styles[name], name), default="")


def words(example: Example) -> list[str]:
    """Tell the example in sentences."""
    lines = []
    for viewer in example.viewers:
        likes = ", ".join(name for name, _ in viewer.taste)
        picture = f"“{example.title.name}” with its {viewer.shown.motif} ({stressed(viewer.shown)}) artwork"
        lines.append(
            f"{viewer.profile_id}, who likes {likes}, is shown {picture}, propensity {viewer.propensity:.2f}; so is "
            f"{viewer.genre} artwork to {viewer.n_alike} of the {N_LOVERS} profiles that like {viewer.genre} most."
        )
    if not example.differs:
        lines.append(f"The live policy ({example.policy_version}) does not tell these two tastes apart by this title.")
    return lines


def _lovers(world: World, at: datetime, genre: str, other: str, uniform_share: float) -> Ints:
    """Find the profiles that like one genre most and the other least, of those whom the live policy decides for."""
    taste = world.tastes.on(_day(world, at))
    lead = taste[:, GENRES.index(genre)] - taste[:, GENRES.index(other)]
    lead[in_uniform_cell(keys_of(world.population.ids), uniform_share)] = -np.inf
    return np.asarray(np.argsort(-lead, kind="stable")[:N_LOVERS])


def _day(world: World, at: datetime) -> int:
    return int(world.days(_moment(at))[0])


def _moment(at: datetime) -> Times:
    return np.array([at.replace(tzinfo=None)], dtype="datetime64[us]")


def _request(world: World, titles: Sequence[str], profile: int, at: datetime) -> PageRequest:
    """Ask for titles at the first place of a page, with the recommender's opinion of each."""
    taste = world.tastes.on(_day(world, at))[profile]
    scores = world.shelf.about[world.title_places(titles)] @ taste
    asked = [
        AskedTitle(title_id=title_id, score=round(float(score), 4), row=0, column=0)
        for title_id, score in zip(titles, scores, strict=True)
    ]
    return PageRequest(profile_id=world.population.ids[profile], titles=tuple(asked), context=_CONTEXT)


def _decide(scorer: Scorer, world: World, titles: Sequence[str], profile: int, at: datetime) -> Sequence[Decision]:
    return scorer.decide(_request(world, titles, profile, at), at).decisions


def _viewer(
    scorer: Scorer,
    world: World,
    ledger: Ledger,
    at: datetime,
    profile: int,
    genre: str,
    decision: Decision,
    n_alike: int,
) -> Viewer:
    request = _request(world, [decision.title_id], profile, at)
    found = look_up(scorer.features, request.profile_id, at).profile
    page = build_page_batch([(request, found)], scorer.index, at)
    policy: Policy = UniformPolicy() if scorer.policy is None else scorer.policy.policy
    title = world.title_places([decision.title_id])
    truth = world.probabilities(
        profile_ids=[request.profile_id],
        title_ids=[decision.title_id],
        actions=[decision.actions],
        device=[_CONTEXT.device],
        local_hour=[_CONTEXT.local_hour or 0],
        row=[0],
        familiar=ledger.familiar(np.array([profile]), title),
        at=_moment(at),
    )
    taste = world.tastes.on(_day(world, at))[profile]
    names = taste_names(world.spec.n_cast)
    strongest = np.argsort(-taste, kind="stable")[:_N_TASTES]
    return Viewer(
        profile_id=request.profile_id,
        genre=genre,
        taste=tuple((names[row], float(taste[row])) for row in strongest if taste[row] >= _TASTE),
        shown=world.catalogue().artworks[decision.artwork_id],
        propensity=decision.propensity,
        pmf=dict(zip(decision.actions, policy.pmf(page.batch).tolist(), strict=True)),
        truth=dict(zip(decision.actions, truth.tolist(), strict=True)),
        n_alike=int(n_alike),
    )
