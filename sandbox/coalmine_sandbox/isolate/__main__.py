"""``python -m coalmine_sandbox.isolate -- COMMAND...``: run a program in fresh namespaces."""

from __future__ import annotations

import sys

from coalmine_sandbox.isolate import IsolationError, run


def main() -> int:
    arguments = sys.argv[1:]
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    if not arguments:
        print("usage: python -m coalmine_sandbox.isolate -- COMMAND [ARGUMENT...]", file=sys.stderr)
        return 2
    try:
        return run(arguments)
    except IsolationError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
