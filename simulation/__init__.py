"""A streaming service with known taste: the truth that every claim is held against."""
