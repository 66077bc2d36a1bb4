"""What Airflow is told about Marquee's errors."""

import inspect

import pytest

from models.error import (
    ContractError,
    DivergedModelError,
    MarqueeError,
    NotReadyError,
    StaleModelError,
    WorseThanUniformError,
)
from pipelines import steps
from pipelines.airflow_run import task_edge

pytestmark = pytest.mark.usefixtures("airflow_home")


def raising(error: Exception) -> None:
    @task_edge
    def step() -> None:
        raise error

    step()


def test_broken_input_is_not_tried_again() -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="propensity") as caught:
        raising(ContractError("propensity must be in (0, 1]"))
    assert isinstance(caught.value.__cause__, ContractError)


@pytest.mark.parametrize(
    "error", [StaleModelError("older"), DivergedModelError("not finite"), WorseThanUniformError("worse")]
)
def test_a_policy_that_came_too_late_or_diverged_is_skipped_with_the_reason(error: MarqueeError) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match=str(error)):
        raising(error)


@pytest.mark.parametrize("error", [NotReadyError("not yet"), MarqueeError("registry away"), OSError("disk")])
def test_everything_else_is_tried_again(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        raising(error)
    assert caught.value is error


def test_every_step_that_airflow_calls_stands_behind_the_edge() -> None:
    own = [step for step in vars(steps).values() if inspect.isfunction(step) and step.__module__ == steps.__name__]
    called = [step for step in own if not step.__name__.startswith("_")]
    assert len(called) == 12
    assert all(hasattr(step, "__wrapped__") for step in called)
