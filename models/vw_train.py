"""The child process that trains: VW's own driver holds the interpreter's lock, and a crash in it must not be ours.

Run as a script with VW's arguments: `python -P vw_train.py -d text -f model …`. Imports nothing of ours, writes the
driver's output to stdout and its log to stderr. Exit 1 where VW refuses.
"""

import sys

from vowpal_wabbit_next import CLIError, run_cli_driver


def main(arguments: list[str]) -> int:
    """Run VW's driver in this process."""
    try:
        output, log = run_cli_driver(arguments, onethread=True)
    except CLIError as error:
        print(error, file=sys.stderr)
        return 1
    print(output)
    print("\n".join(log), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
