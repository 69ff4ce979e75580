"""``python -m coalmine_sandbox.keep -- COMMAND...``: run a program under a keeper, in a fresh directory."""

from __future__ import annotations

import sys

from coalmine_sandbox.keep import KeepError, fresh, run


def main() -> int:
    arguments = sys.argv[1:]
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    if not arguments:
        print("usage: python -m coalmine_sandbox.keep -- COMMAND [ARGUMENT...]", file=sys.stderr)
        return 2
    try:
        return run(arguments, fresh())
    except KeepError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
