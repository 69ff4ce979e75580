"""``python -m bench.detectors``: the only module here that reads arguments. It takes about ten minutes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench.detectors import plot, table
from bench.detectors.results import FILE, Found, Results, decode, encode, merged

_SEED = 6


def main(argv: Sequence[str]) -> int:
    """Run what is asked for. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.detectors", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="runs of each scene; default: %(default)s")
    parser.add_argument("--seed", type=int, default=_SEED, help="the same seed, the same figures; default: %(default)s")
    parser.add_argument(
        "--scene", action="append", metavar="WORDS", help="only scenes with these words; writes nothing"
    )
    parser.add_argument(
        "--save", action="store_true", help="write a part too: what was measured before stands beside it"
    )
    parser.add_argument("--draw", action="store_true", help="measure nothing: make tables and pictures again")
    arguments = parser.parse_args(argv)
    if arguments.draw:
        write(decode(FILE.read_text()))
        return 0
    results = run(arguments.runs, arguments.seed, arguments.scene or [])
    if arguments.scene and arguments.save:
        results = merged(decode(FILE.read_text()), results, _order())
    if arguments.save or not arguments.scene:
        FILE.write_text(encode(results))
        write(results)
    return 0


def run(runs: int, seed: int, wanted: Sequence[str]) -> Results:
    """Measure, and say what was found as soon as it is."""
    from bench.detectors import measure, proofs, scenes  # numpy is needed here, and nowhere else

    results = Results(seed, {}, {}, {})
    for scene in scenes.SCENES:
        if not wanted or any(words in scene.name for words in wanted):
            results.kinds[scene.name] = scene.kind
            results.scenes[scene.name] = measure.measure(scene, runs, seed)
            _say(scene.name, results.scenes[scene.name])
    for case in proofs.CASES:
        if not wanted or any(words in case.name for words in wanted):
            results.proofs[case.name] = proofs.measure(case, runs, seed)
            _say(case.name, results.proofs[case.name])
    return results


def _order() -> list[str]:
    from bench.detectors import scenes

    return [scene.name for scene in scenes.SCENES]


def write(results: Results) -> None:
    """The tables and the pictures."""
    table.PAGE.write_text(table.replaced(table.PAGE.read_text(), results))
    for name, picture in plot.draw(results).items():
        (plot.FOLDER / name).write_text(picture)


def _say(name: str, by: dict[str, Found]) -> None:
    print(name)
    for detector, found in by.items():
        low, high = found.interval
        seconds = "-" if found.seconds is None else f"{found.seconds:.0f} s"
        rate = f"{100 * found.rate:.2f} % ({100 * low:.2f} to {100 * high:.2f})"
        print(f"  {detector:32} alarms {rate:24} median {seconds:>7}, bad {found.bad:,.0f}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
