"""What can be shown: titles and their artworks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from models.error import ContractError


@dataclass(frozen=True, slots=True)
class Title:
    """A film, article or product. `tastes` weighs what it is about: genre or other names to weights above 0."""

    title_id: str
    launched_at: datetime
    tastes: Mapping[str, float] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True, slots=True)
class Artwork:
    """One picture of one title. `styles` weighs what it stresses, in the same names as a title's `tastes`.

    Artwork ids are unique over the whole catalogue. `motif` is the dominant subject, as one word. `maturity` is the age
    from which it may be seen, and `countries` are the only ones where it may be, in capitals; nowhere else if there is
    any.
    """

    artwork_id: str
    title_id: str
    launched_at: datetime
    styles: Mapping[str, float] = field(default_factory=dict)
    motif: str = ""
    is_default: bool = False
    maturity: int = 0
    countries: tuple[str, ...] = ()

    @property
    def is_restricted(self) -> bool:
        """Whether not everybody may see it."""
        return bool(self.maturity or self.countries)

    def may_be_seen(self, country: str, maturity_limit: int | None) -> bool:
        """Tell whether it may be shown there, at that limit; where the country is not known, only if it may anywhere.

        Args: maturity_limit, the age that the profile is limited to; None for no limit.
        """
        if maturity_limit is not None and self.maturity > maturity_limit:
            return False
        return not self.countries or country.upper() in self.countries


class Catalogue:
    """The titles and artworks in force, in the order they were given.

    Raises:
        ContractError: if an id repeats or an artwork names a title that is not there.
    """

    def __init__(self, titles: Iterable[Title], artworks: Iterable[Artwork]) -> None:
        self.titles: dict[str, Title] = {}
        self.artworks: dict[str, Artwork] = {}
        self.artworks_of: dict[str, list[Artwork]] = {}
        for title in titles:
            if title.title_id in self.titles:
                raise ContractError(f"title_id must be unique, got {title.title_id!r} twice")
            self.titles[title.title_id] = title
            self.artworks_of[title.title_id] = []
        for artwork in artworks:
            if artwork.artwork_id in self.artworks:
                raise ContractError(f"artwork_id must be unique, got {artwork.artwork_id!r} twice")
            if artwork.title_id not in self.titles:
                raise ContractError(f"artwork {artwork.artwork_id!r} names an unknown title {artwork.title_id!r}")
            self.artworks[artwork.artwork_id] = artwork
            self.artworks_of[artwork.title_id].append(artwork)

    def eligible(self, title_id: str, at: datetime) -> list[Artwork]:
        """List the title's artworks launched by `at`, in catalogue order; empty for an unknown title."""
        return [artwork for artwork in self.artworks_of.get(title_id, ()) if artwork.launched_at <= at]

    def default_of(self, title_id: str) -> str:
        """Name the title's default artwork: the one marked so, else the first, else `<title>:default`."""
        artworks = self.artworks_of.get(title_id, ())
        marked = [artwork for artwork in artworks if artwork.is_default] or artworks[:1]
        return marked[0].artwork_id if marked else f"{title_id}:default"
