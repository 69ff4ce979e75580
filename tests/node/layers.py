"""What is in our images: the Python that runs this program, our own program, the example.

Rules: each function fills a directory, as the root of a file system. Bytecode is compiled ahead and taken
without a look at its source (``unchecked-hash``): the images run read-only. Shared libraries are those that ldd
names, at the paths where this machine has them.

Users have the image of the Dockerfile. Ours holds the same, but for the base: what it leaves out is read from it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

PREFIX: Final = "usr/local"
VERSION: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
#: Of the standard library, what no program of ours imports.
_UNUSED: Final = ("test", "tests", "idlelib", "ensurepip", "tkinter", "turtledemo", "lib2to3", "site-packages")
_UNUSED_FILES: Final = ("__pycache__", "config-*", "*.a", "_test*.so", "_tkinter*.so", "turtle.py")
_ACCOUNTS: Final = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"
_GROUPS: Final = "root:x:0:\nnonroot:x:65532:\n"
_LAUNCHER: Final = f"""\
#!/{PREFIX}/bin/{VERSION}
import sys

from coalmine_cli.__main__ import main

sys.exit(main())
"""


class LayerError(Exception):
    """A layer cannot be made; the text says what is missing."""


def python(root: Path) -> None:
    """The interpreter and its standard library, and the shared libraries of both."""
    base = Path(sys.base_prefix)
    library = root / PREFIX / "lib" / VERSION
    shutil.copytree(
        sysconfig.get_path("stdlib"), library, ignore=shutil.ignore_patterns(*_UNUSED, *_UNUSED_FILES), symlinks=True
    )
    (library / "site-packages").mkdir()
    programs = root / PREFIX / "bin"
    programs.mkdir()
    shutil.copy2((base / "bin" / VERSION).resolve(), programs / VERSION)
    for name in ("python3", "python"):
        (programs / name).symlink_to(VERSION)
    for name, content in (("passwd", _ACCOUNTS), ("group", _GROUPS), ("nsswitch.conf", "hosts: files dns\n")):
        file = root / "etc" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    scratch = root / "tmp"
    scratch.mkdir()
    scratch.chmod(0o1777)
    _strip(root)
    _add_libraries(root, base)
    _compile(root, library)


def packages(root: Path, lock: Path) -> None:
    """What our program needs at run time: the packages of `lock`, by their hashes. Raises CalledProcessError."""
    place = root / PREFIX / "lib" / VERSION / "site-packages"
    _pip(
        "install",
        "--no-compile",
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--target",
        place,
        "-r",
        lock,
    )
    shutil.rmtree(place / "bin", ignore_errors=True)  # scripts, for the Python of this machine
    _add_libraries(root, Path(sys.base_prefix))


def program(root: Path, checkout: Path, compiled: Path | None, wheels: Path) -> None:
    """Our own program on top of the packages that are there, without what the Dockerfile leaves out.

    `compiled` has the sidecar's compiled modules; `wheels` is a directory for the wheel of the checkout.
    Raises CalledProcessError, or LayerError when the Dockerfile leaves nothing out.
    """
    place = root / PREFIX / "lib" / VERSION / "site-packages"
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, checkout)
    (wheel,) = wheels.glob("coalmine-*.whl")
    _pip("install", "--no-compile", "--no-deps", "--target", place, wheel)
    shutil.rmtree(place / "bin", ignore_errors=True)
    if compiled is not None:
        shutil.copytree(compiled, place, dirs_exist_ok=True)
    for command in _left_out(checkout / "Dockerfile"):
        subprocess.run(["sh", "-e", "-c", command], cwd=place, check=True)
    launcher = root / PREFIX / "bin" / "coalmine"
    launcher.parent.mkdir(parents=True)
    launcher.write_text(_LAUNCHER)
    launcher.chmod(0o755)
    _compile(root, place)


def _left_out(dockerfile: Path) -> list[str]:
    """The commands by which the Dockerfile removes things from its site-packages."""
    commands = re.findall(r"^ && ((?:rm|find) .*?)(?: \\)?$", dockerfile.read_text(), re.MULTILINE)
    if not commands:
        raise LayerError(f"{dockerfile} removes nothing any more: mend tests/node/layers.py")
    return commands


def example(root: Path, file: Path) -> None:
    """The example's application."""
    place = root / "app" / file.name
    place.parent.mkdir(parents=True)
    shutil.copyfile(file, place)


def static(root: Path, file: Path) -> None:
    """A program that needs nothing else."""
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, root / file.name)


def _pip(verb: str, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", verb, "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run(command, check=True)


def _compile(root: Path, library: Path) -> None:
    """The paths in tracebacks are those of the image; a package's files for other Pythons do not compile."""
    command = [sys.executable, "-m", "compileall", "-q", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, "-s", str(root), "-p", "/", str(library)], check=False, stdout=subprocess.DEVNULL)


def _strip(root: Path) -> None:
    """Without its symbols libpython is a tenth as large; a machine without binutils has the large one."""
    if shutil.which("strip") is not None:
        subprocess.run(["strip", "--strip-unneeded", *map(str, _objects(root))], check=False, stderr=subprocess.DEVNULL)


def _add_libraries(root: Path, base: Path) -> None:
    """Copy what the programs and modules below `root` are linked with, where they do not bring it along."""
    for name, path in sorted(_linked(_objects(root), base)):
        inside = Path(path)
        if inside.is_relative_to(base):
            place = root / "usr" / "lib" / name  # where every loader looks
        elif inside.is_relative_to(root):
            continue
        else:
            place = root / str(inside).lstrip("/")
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(inside.resolve(), place)


def _objects(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and (".so" in path.name or os.access(path, os.X_OK)):
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def _linked(objects: Iterable[Path], base: Path) -> set[tuple[str, str]]:
    """Name and path of each library. Raises LayerError when one is not there."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(base / "lib")}
    found = set()
    for each in objects:
        answer = subprocess.run(["ldd", str(each)], capture_output=True, text=True, env=environment, check=False)
        if missing := re.search(r"^\s*(\S+) => not found", answer.stdout, re.MULTILINE):
            raise LayerError(f"{each} needs {missing[1]}, which is not on this machine")
        for name, path in re.findall(r"^\s*(\S+) => (/\S+)", answer.stdout, re.MULTILINE):
            found.add((name, path))
        for path in re.findall(r"^\s*(/\S+) \(0x", answer.stdout, re.MULTILINE):
            found.add((Path(path).name, path))  # the loader itself
    return found
