"""The feature views. Vectors are packed in the layout of `models.layout`: Feast costs by the value, not the byte."""

import os
from datetime import timedelta

from entities import artwork, profile, title
from feast import FeatureView, Field
from feast.types import Array, Float32, Int64
from sources import (
    OWNER,
    artwork_profile_source,
    profile_familiarity_source,
    profile_taste_source,
    title_profile_source,
)

PROFILE_TTL = timedelta(hours=float(os.environ.get("MARQUEE_PROFILE_TTL_HOURS", 24 * 90)))
"""The scorer drops older rows by the same setting, so that a training set sees what was served."""

CATALOGUE_TTL = timedelta(days=3650)
"""A title's or artwork's row holds until the next one: only what was touched gets a new row."""

profile_taste = FeatureView(
    name="profile_taste",
    entities=[profile],
    ttl=PROFILE_TTL,
    schema=[Field(name="vector", dtype=Array(Float32), description="models.layout.PROFILE")],
    source=profile_taste_source,
    description="What a profile likes to watch, how much and on what; rows for profiles active in the interval",
    owner=OWNER,
)
profile_familiarity = FeatureView(
    name="profile_familiarity",
    entities=[profile],
    ttl=PROFILE_TTL,
    schema=[
        Field(name="title_keys", dtype=Array(Int64), description="64-bit hashes of title ids, as signed, latest first"),
        Field(name="minutes", dtype=Array(Float32), description="minutes watched of each title"),
        Field(name="impressions", dtype=Array(Float32), description="impressions of each title"),
    ],
    source=profile_familiarity_source,
    description="The last few hundred titles a profile has seen or watched, packed in one row",
    owner=OWNER,
)
title_profile = FeatureView(
    name="title_profile",
    entities=[title],
    ttl=CATALOGUE_TTL,
    schema=[Field(name="vector", dtype=Array(Float32), description="models.layout.TITLE")],
    source=title_profile_source,
    description="What a title is about, its age and its overall response",
    owner=OWNER,
)
artwork_profile = FeatureView(
    name="artwork_profile",
    entities=[artwork],
    ttl=CATALOGUE_TTL,
    schema=[
        Field(name="vector", dtype=Array(Float32), description="models.layout.ARTWORK"),
        Field(name="take_fraction", dtype=Float32, description="smoothed take fraction, in (0, 1)"),
        Field(name="n_impressions", dtype=Int64, description="matured impressions so far"),
    ],
    source=artwork_profile_source,
    description="What an artwork stresses and how it has done",
    owner=OWNER,
)
