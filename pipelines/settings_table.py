"""`marquee settings`: every variable that means something to Marquee, with what it is here and what it does."""

import os

import msgspec
from pydantic import SecretStr
from rich.markup import escape
from rich.table import Table

from pipelines.presentation import out
from pipelines.settings import Settings, environment_of
from serving.feature_store import referred_variables
from serving.settings import variable_of
from serving.variable import setting_variables

_HIDDEN = "(set, not shown)"


class Setting(msgspec.Struct, frozen=True):
    """One variable. `value` is never that of a secret; `is_default` tells whether nobody chose it."""

    variable: str
    value: str
    is_default: bool
    meaning: str


def all_settings(settings: Settings) -> list[Setting]:
    """List the settings in their order, then what configurations of the feature store refer to, which may be secret."""
    spelled, defaults = environment_of(settings), environment_of(Settings.model_construct())
    found = []
    for name, field in Settings.model_fields.items():
        variable = variable_of(name)
        value, default = spelled.get(variable, ""), defaults.get(variable, "")
        # A URL may hold a password before its host.
        is_secret = isinstance(getattr(settings, name), SecretStr) or ("://" in value and "@" in value)
        shown = _HIDDEN if value and is_secret else value
        found.append(Setting(variable, shown, value == default, field.description or ""))
    for path in sorted(settings.feature_repo.glob("*.yaml")):
        for variable in sorted(referred_variables(path) - setting_variables(settings)):
            is_set = bool(os.environ.get(variable))
            found.append(Setting(variable, _HIDDEN if is_set else "", not is_set, f"{path.name} refers to it"))
    return found


def show_settings(found: list[Setting]) -> None:
    """Print a table; what somebody chose is bold."""
    table = Table("variable", "here", "what it is", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for each in found:
        style = "" if each.is_default else "bold"
        table.add_row(each.variable, escape(each.value), escape(each.meaning), style=style)
    out.print(table)
