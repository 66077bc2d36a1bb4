"""Who and what features are about."""

from feast import Entity, ValueType

profile = Entity(
    name="profile",
    join_keys=["profile_id"],
    value_type=ValueType.STRING,
    description="One person's view of an account",
)
title = Entity(
    name="title",
    join_keys=["title_id"],
    value_type=ValueType.STRING,
    description="A film, series, article or product",
)
artwork = Entity(
    name="artwork",
    join_keys=["artwork_id"],
    value_type=ValueType.STRING,
    description="One picture of one title",
)
