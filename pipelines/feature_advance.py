"""One interval's step of all features, from tables to tables: no lake, no files, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from pipelines.feature_count import Counted
from pipelines.feature_rows import (
    Launched,
    Responses,
    artwork_profile_rows,
    profile_familiarity_rows,
    profile_taste_rows,
    title_profile_rows,
)
from pipelines.feature_state import (
    Fading,
    Tastes,
    advance_familiarity,
    advance_profiles,
    advance_responses,
)


@dataclass(frozen=True, slots=True)
class Advanced:
    """The states after an interval, by the names of `STATES`, and the rows that it made, by those of `VIEWS`."""

    states: dict[str, pa.Table]
    views: dict[str, pa.Table]


def advance(
    before: Mapping[str, pa.Table],
    counted: Counted,
    launched: Launched,
    *,
    fading: Fading,
    elapsed: timedelta,
    end_at: datetime,
) -> Advanced:
    """Take what was counted of an interval into the states and make the rows of what was touched.

    Args: before, a table for each of `STATES`; launched, before `end_at`; fading, of taste; elapsed, from the end of
    the states before to `end_at`.
    """
    profiles, touched = advance_profiles(
        before["profile"],
        counted,
        tastes=Tastes(launched.title_ids, launched.about),
        fading=fading,
        elapsed=elapsed,
    )
    familiarity = advance_familiarity(before["familiarity"], counted.met)
    titles = Responses(*advance_responses(before["title"], counted.responses, launched.title_ids))
    artworks = Responses(*advance_responses(before["artwork"], counted.responses, launched.artwork_ids))
    return Advanced(
        states={"profile": profiles, "familiarity": familiarity, "title": titles.state, "artwork": artworks.state},
        views={
            "profile_taste": profile_taste_rows(profiles, touched, end_at),
            "profile_familiarity": profile_familiarity_rows(familiarity, touched, end_at),
            "title_profile": title_profile_rows(launched, titles, artworks, end_at),
            "artwork_profile": artwork_profile_rows(launched, titles, artworks, end_at),
        },
    )
