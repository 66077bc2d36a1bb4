"""Run one benchmark: `python -m benchmarks NAME [--json] [--full] [--plot PATH]`; `--list` names them all.

A benchmark is a module of this package with `run(full: bool) -> dict[str, float | int | str]`: its figures by key. Each
takes less than 50 seconds unless `full`, which makes the figures that the README quotes. One that also has
`plot(figures) -> str` can draw them as SVG.
"""

import argparse
import ast
import importlib
import json
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

import benchmarks

Figures = Mapping[str, float | int | str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for. Returns: 0; a misuse exits with 2 and names what there is."""
    known = benchmark_names()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Make the figures that the README quotes."
    )
    parser.add_argument("name", nargs="?", help=f"one of: {', '.join(known)}")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--full", action="store_true", help="the README's size instead of a quick one")
    parser.add_argument("--plot", type=Path, metavar="PATH", help="also draw the figures as SVG, where there is a plot")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and what they measure")
    asked = parser.parse_args(arguments)
    if asked.list:
        _print_list(known)
        return 0
    if asked.name not in known:
        parser.error(f"there is no benchmark {asked.name!r}: choose one of {', '.join(known)}")
    if asked.plot and not _defines(_parsed(asked.name), "plot"):
        parser.error(f"{asked.name} has no plot")
    module = importlib.import_module(f"benchmarks.{asked.name}")
    figures: Figures = module.run(asked.full)
    if asked.plot:
        asked.plot.write_text(module.plot(figures), encoding="utf-8")
    if asked.json:
        print(json.dumps({"benchmark": asked.name, "figures": dict(figures)}, allow_nan=False), flush=True)
    else:
        _print_figures(asked.name, figures)
    return 0


def benchmark_names() -> list[str]:
    """List the modules of this package that can be run, without importing any."""
    names = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in names if name != "__main__" and _defines(_parsed(name), "run"))


def _parsed(name: str) -> ast.Module:
    return ast.parse((Path(benchmarks.__path__[0]) / f"{name}.py").read_text(encoding="utf-8"))


def _defines(module: ast.Module, function: str) -> bool:
    return any(isinstance(part, ast.FunctionDef) and part.name == function for part in module.body)


def _print_list(names: Sequence[str]) -> None:
    table = Table("benchmark", "measures")
    for name in names:
        table.add_row(name, (ast.get_docstring(_parsed(name)) or "").split("\n\n")[0].replace("\n", " "))
    Console().print(table)


def _print_figures(name: str, figures: Figures) -> None:
    table = Table("figure", "value", title=name)
    for key, value in figures.items():
        table.add_row(key, f"{value:,.4g}" if isinstance(value, float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
