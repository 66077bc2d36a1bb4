"""What the ranker reads. The version is that of `models.layout.FEATURE_SERVICE`: another layout is another service."""

from feast import FeatureService
from sources import OWNER
from views import artwork_profile, profile_familiarity, profile_taste, title_profile

artwork_ranker_v1 = FeatureService(
    name="artwork_ranker_v1",
    features=[profile_taste, profile_familiarity, title_profile, artwork_profile],
    description="Everything that the artwork policy looks at, but the request itself",
    owner=OWNER,
)
artwork_ranker_v1_profile = FeatureService(
    name="artwork_ranker_v1_profile",
    features=[profile_taste, profile_familiarity],
    description="The part of artwork_ranker_v1 that a page reads, in one round trip",
    owner=OWNER,
)
