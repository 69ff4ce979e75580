"""What the three fuzzers share: the oracle, how long they run, and how they say that they cannot.

A fuzzer is no test: `python tests/fuzz/fuzz_heads.py` runs it for a while, from a fixed seed, guided by the coverage of
the proxy's own code. It ends with 0 when the oracle held, with 77 when atheris is not there or does not run here
(automake's word for skipped), and otherwise writes the bytes to ``crash-*`` and ends loudly. More time or runs:
`python tests/fuzz/fuzz_heads.py --runs 1000000 --seconds 3600`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parents[1] / "unit" / "proxy_conformance"
SKIPPED: Final = 77

if str(CORPUS) not in sys.path:
    sys.path.insert(0, str(CORPUS))


def fuzz(one: Callable[[bytes], None], seeds: Sequence[bytes], words: Sequence[bytes], *, longest: int = 2048) -> None:
    """Run `one` on many inputs, beginning with `seeds`; `words` are put in here and there. Does not return."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100_000, help="at most so many inputs")
    parser.add_argument("--seconds", type=int, default=20, help="at most so long")
    parser.add_argument("--seed", type=int, default=9112)
    parser.add_argument("--replay", type=Path, help="one file that an earlier run wrote")
    given = parser.parse_args()
    if given.replay is not None:
        one(given.replay.read_bytes())
        return
    try:
        import atheris
    except ImportError as error:
        print(
            f"skipped: atheris cannot be imported here ({error}); install it with: pip install atheris", file=sys.stderr
        )
        sys.exit(SKIPPED)
    _instrument(atheris)
    with _Folder(seeds, words) as (corpus, dictionary):
        atheris.Setup(
            [
                sys.argv[0],
                f"-runs={given.runs}",
                f"-max_total_time={given.seconds}",
                f"-seed={given.seed}",
                f"-max_len={longest}",
                f"-dict={dictionary}",
                "-timeout=10",
                "-error_exitcode=1",
                "-print_final_stats=1",
                "-verbosity=0",
                str(corpus),
            ],
            one,
        )
        atheris.Fuzz()


def _instrument(atheris: object) -> None:
    """Load the proxy's code so that its coverage guides; everything else is loaded as it is."""
    for name in [name for name in sys.modules if name.split(".")[0] == "coalmine_proxy"]:
        del sys.modules[name]
    with atheris.instrument_imports(include=["coalmine_proxy"], enable_loader_override=False):  # type: ignore[attr-defined]
        for name in ("head", "framing", "request", "answer", "exchange", "downstream", "upstream"):
            importlib.import_module(f"coalmine_proxy.{name}")


class _Folder:
    """Seeds and words as the files that libFuzzer reads."""

    def __init__(self, seeds: Sequence[bytes], words: Sequence[bytes]) -> None:
        import tempfile

        self._seeds = seeds
        self._words = words
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> tuple[Path, Path]:
        folder = Path(self._folder.name)
        corpus = folder / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(self._seeds):
            (corpus / f"{number:04}").write_bytes(seed)
        dictionary = folder / "words"
        dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in self._words))
        return corpus, dictionary

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()


def _escaped(word: bytes) -> str:
    return "".join(chr(c) if 0x20 < c < 0x7F and c not in b'"\\' else f"\\x{c:02x}" for c in word)
