"""Titles and artworks, reward rules, ids, and the examples in docstrings."""

import doctest
import pkgutil
from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest

import models
from models.catalogue import Artwork, Catalogue, Title
from models.error import ContractError
from models.identity import hash64, is_anonymous, keys_of
from models.reward import QUALITY_RULES, quality_rule

AT = datetime(2026, 11, 1, tzinfo=UTC)


def catalogue(default: bool = True) -> Catalogue:
    artworks = [Artwork("a-1", "t-1", AT), Artwork("a-2", "t-1", AT + timedelta(days=1), is_default=default)]
    return Catalogue([Title("t-1", AT), Title("t-2", AT)], artworks)


def test_an_artwork_is_eligible_from_its_launch_on() -> None:
    def eligible(at: datetime) -> list[str]:
        return [artwork.artwork_id for artwork in catalogue().eligible("t-1", at)]

    assert eligible(AT - timedelta(seconds=1)) == []
    assert eligible(AT) == ["a-1"]
    assert eligible(AT + timedelta(days=1)) == ["a-1", "a-2"]
    assert catalogue().eligible("unheard of", AT) == []


def test_every_title_has_a_default_artwork() -> None:
    assert catalogue().default_of("t-1") == "a-2"
    assert catalogue(default=False).default_of("t-1") == "a-1"
    assert catalogue().default_of("t-2") == "t-2:default"
    assert catalogue().default_of("unheard of") == "unheard of:default"


def test_ids_that_repeat_or_lead_nowhere_are_named() -> None:
    with pytest.raises(ContractError, match="'t-1' twice"):
        Catalogue([Title("t-1", AT), Title("t-1", AT)], [])
    with pytest.raises(ContractError, match="'a-1' twice"):
        Catalogue([Title("t-1", AT)], [Artwork("a-1", "t-1", AT), Artwork("a-1", "t-1", AT)])
    with pytest.raises(ContractError, match=r"'a-1'.*'t-9'"):
        Catalogue([Title("t-1", AT)], [Artwork("a-1", "t-9", AT)])


def test_a_reward_rule_is_found_by_version() -> None:
    for version, rule in QUALITY_RULES.items():
        assert quality_rule(version) is rule
        assert rule.version == version
    with pytest.raises(ContractError, match=r"any-play-1.*got 'best-play-9'"):
        quality_rule("best-play-9")


def test_keys_are_the_hashes_of_ids_one_by_one() -> None:
    assert keys_of(["a", "b", "a"]).tolist() == [hash64("a"), hash64("b"), hash64("a")]
    assert keys_of([]).shape == (0,)
    assert is_anonymous("~x")
    assert not is_anonymous("x~")


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(models.__path__)])
def test_examples_in_docstrings_hold(name: str) -> None:
    assert doctest.testmod(import_module(f"models.{name}")).failed == 0


def test_there_are_examples_to_hold() -> None:
    modules = [import_module(f"models.{module.name}") for module in pkgutil.iter_modules(models.__path__)]
    assert sum(len(test.examples) for module in modules for test in doctest.DocTestFinder().find(module)) >= 5
