"""Applies feature definitions: `python -m serving.feast_apply REPOSITORY`, Feast's configuration as JSON on stdin.

Feast's own command would fill variables into the text of the configuration: a password with a quote in it breaks that.
"""

import json
import sys
from pathlib import Path

from serving.feature_store import repo_config


def main() -> None:
    """Apply a repository's definitions, in a process of its own: Feast imports its modules by their bare names."""
    from feast.repo_operations import apply_total

    repo = Path(sys.argv[1])
    sys.path.insert(0, str(repo))
    apply_total(repo_config(json.load(sys.stdin), repo), repo, skip_source_validation=True)


if __name__ == "__main__":
    main()
