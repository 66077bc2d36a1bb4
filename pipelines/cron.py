"""Cron expressions of data intervals."""

from models.error import ContractError

_MINUTES_OF_A_DAY = 24 * 60


def interval_cron(interval_hours: float) -> str:
    """Write the cron expression that fires at every boundary: whole hours that divide a day, or minutes, an hour.

    Raises:
        ContractError: for any other length.
    """
    minutes = round(interval_hours * 60, 6)
    if minutes < 1 or minutes != int(minutes) or _MINUTES_OF_A_DAY % int(minutes):
        raise ContractError(f"interval_hours must be whole minutes that divide a day, got {interval_hours}")
    n_minutes = int(minutes)
    if n_minutes == _MINUTES_OF_A_DAY:
        return "0 0 * * *"
    if n_minutes % 60 == 0:
        return f"0 */{n_minutes // 60} * * *"
    if 60 % n_minutes == 0:
        return f"*/{n_minutes} * * * *"
    raise ContractError(f"interval_hours must divide an hour or be whole hours that divide a day, got {interval_hours}")
