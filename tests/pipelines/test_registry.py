"""The registry remembers bundles and champions, and says its own name when it cannot."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.error import ContractError, MarqueeError
from pipelines.registry import Registered, Registry

AS_OF = datetime(2026, 11, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def registry(folder: Path) -> Registry:
    return Registry(f"sqlite:///{folder / 'registry.db'}")


def made(version: str) -> Registered:
    return Registered(version, f"file:///bundles/{version}", "vw-epsilon", AS_OF, AS_OF)


def test_there_is_no_champion_before_the_first_promotion(folder: Path) -> None:
    assert Registry(f"sqlite:///{folder / 'empty.db'}").champion() is None


def test_a_bundle_is_found_as_it_was_registered_and_registering_it_again_makes_no_second_version(
    registry: Registry, folder: Path
) -> None:
    registry.register(made("vw-20261103T000000Z-0f"))
    registry.register(Registered("vw-20261103T000000Z-0f", "file:///elsewhere", "other", AS_OF, AS_OF))

    assert registry.find("vw-20261103T000000Z-0f") == made("vw-20261103T000000Z-0f")
    assert registry.find("never") is None
    assert Registry(f"sqlite:///{folder / 'registry.db'}").find("vw-20261103T000000Z-0f") == made(
        "vw-20261103T000000Z-0f"
    )


def test_a_champion_remembers_whom_it_replaced_and_crowning_it_again_does_not_make_it_forget(
    registry: Registry,
) -> None:
    for version in ("first", "second", "third"):
        registry.register(made(version))
        registry.crown(version)
    registry.crown("third")

    champion = registry.champion()
    assert champion is not None
    assert (champion.bundle_version, champion.replaced) == ("third", "second")


def test_a_restored_champion_still_knows_the_one_before_it(registry: Registry) -> None:
    for version in ("one", "two", "three"):
        registry.register(made(version))
        registry.crown(version)

    assert registry.restore("two").replaced == "one"
    champion = registry.champion()
    assert champion is not None
    assert champion.bundle_version == "two"


def test_a_registry_without_a_champion_is_as_before_the_first_promotion(registry: Registry) -> None:
    registry.register(made("alone"))
    registry.crown("alone")
    for _ in range(2):
        registry.vacate()
        assert registry.champion() is None
    assert registry.crown("alone").replaced is None


def test_a_bundle_that_was_never_registered_is_not_crowned(registry: Registry) -> None:
    before = registry.champion()
    with pytest.raises(ContractError, match="unheard"):
        registry.crown("unheard")
    with pytest.raises(ContractError, match="letters, digits"):
        registry.crown("x' or name='y")
    assert registry.champion() == before


def test_a_corrupt_registry_is_named(folder: Path) -> None:
    broken = folder / "broken.db"
    broken.write_bytes(b"not a database" * 1000)
    with pytest.raises(MarqueeError, match=r"broken\.db cannot be used: .*not a database"):
        Registry(f"sqlite:///{broken}").champion()


def test_a_registry_that_does_not_answer_is_named_within_seconds() -> None:
    with pytest.raises(MarqueeError, match=re.escape("registry http://127.0.0.1:9 cannot be used")):
        Registry("http://127.0.0.1:9").champion()
