"""Compile the sidecar's hot path to C with mypyc, into a folder of its own.

    python proxy/compile.py build/compiled

The pure modules stay the source, and what runs where nothing was compiled: the compiled ones are the same
files as of the moment they were compiled, so compile again after a change. The folder holds the whole package; put it
first in PYTHONPATH.
Needs a C compiler and Python's headers. Not done by ``make demo`` or ``make test``, whose machines may have
neither.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = "coalmine_proxy"

#: Says that a folder may be made anew.
MARK = ".compiled"

#: What runs for every request or every piece of a body. The rest is asyncio's coroutines, or rare.
MODULES = (
    "affinity",
    "answer",
    "downstream",
    "ejection",
    "exchange",
    "forwarding",
    "framing",
    "head",
    "limits",
    "matching",
    "mirror",
    "passthrough",
    "pool",
    "request",
    "routing",
    "seeker",
    "service",
    "split",
    "stats",
    "upstream",
    "wheel",
)


def compile_into(folder: Path) -> None:
    """Make `folder` anew. Raises FileExistsError when it is not ours, CalledProcessError when it cannot be compiled."""
    if folder.exists() and not (folder / MARK).exists():
        raise FileExistsError(f"{folder} is there and was not made by this program: name another folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).write_text("made by proxy/compile.py from the sources beside it; may be deleted\n")
    shutil.copytree(HERE / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    subprocess.run(
        [sys.executable, "-m", "mypyc", "--strict", *(f"{PACKAGE}/{module}.py" for module in MODULES)],
        cwd=folder,
        env={**os.environ, "MYPYPATH": os.pathsep.join((str(folder), str(HERE.parent / "core")))},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(folder / "build")
    shutil.rmtree(folder / ".mypy_cache", ignore_errors=True)


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python proxy/compile.py FOLDER", file=sys.stderr)
        return 2
    if shutil.which(os.environ.get("CC", "cc")) is None:
        print("compile: there is no C compiler; install gcc, or do without: the pure modules work", file=sys.stderr)
        return 1
    try:
        compile_into(Path(sys.argv[1]).resolve())
    except subprocess.CalledProcessError as error:
        return error.returncode
    except FileExistsError as error:
        print(f"compile: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
