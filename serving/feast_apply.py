"""Applies feature definitions in a process of its own.

Feast's command would fill variables into the text of the configuration: a password with a quote in it breaks that.
"""

import json
import sys
from pathlib import Path

from serving.feature_store import repo_config


def main() -> None:
    """Apply the definitions of the repository that is named; its configuration, as JSON, comes on standard input.

    Feast executes each of the repository's modules under its bare name.
    """
    from feast.repo_operations import apply_total

    repo = Path(sys.argv[1])
    apply_total(repo_config(json.load(sys.stdin), repo), repo, skip_source_validation=True)
