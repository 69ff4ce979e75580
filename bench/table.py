"""Tables for the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from bench.figures import FULL, Figure, Round, median, ratio, spread
from bench.memory import IDLE, Held
from bench.peers import HAPROXY
from bench.prober import Probed
from bench.workloads import Workload


def workload(which: Workload, found: Mapping[str, Sequence[Round]]) -> Table:
    """Medians of the rounds of one workload, the spread beside the first figure, and the ratio to HAProxy's."""
    bodies = which.body > 0
    table = _table(f"{which.name}: {which.title}", ["CPU s/GB" if bodies else "CPU us/req", "least..most", "x hap"])
    unit = "ms" if bodies else "us"
    for title in ("user+sys", "req/s/core", "req/s", f"p50 {unit}", f"p99 {unit}", "x hap", "RSS MB", "busy"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("wrk+origin us", "load", "noise"):
        table.add_column(title, justify="right", style="dim", no_wrap=True)
    table.add_column("", style="yellow", no_wrap=True)
    for name, rounds in found.items():
        table.add_row(name, *_row(bodies, rounds, found.get(HAPROXY, ())))
    return table


def _row(bodies: bool, rounds: Sequence[Round], theirs: Sequence[Round]) -> list[str]:
    def of(figure: Figure, places: int = 0) -> str:
        return f"{median(rounds, figure):,.{places}f}"

    def against(figure: Figure) -> str:
        return f"{ratio(rounds, theirs, figure):.2f}" if theirs else "-"

    def cost(r: Round) -> float:
        return r.cpu_per_gb if bodies else r.cpu_us

    def part(of_it: Figure) -> Figure:
        return lambda r: cost(r) * of_it(r) / r.cpu_us if r.cpu_us else 0.0

    places = 2 if bodies else 1
    latency = 1e3 if bodies else 1.0
    least, most = spread(rounds, cost)
    proxied = [
        of(cost, places),
        f"{least:.{places}f}..{most:.{places}f}",
        against(cost),
        f"{of(part(lambda r: r.user_us), places)}+{of(part(lambda r: r.system_us), places)}",
        of(lambda r: r.per_core),
    ]
    after = [of(lambda r: r.resident / 1e6, 1), of(lambda r: r.proxy_busy * 100) + "%"]
    return [
        *(proxied if most else ["-"] * len(proxied)),
        of(lambda r: r.requests_per_second),
        of(lambda r: r.p50_us / latency, int(bodies)),
        of(lambda r: r.p99_us / latency, int(bodies)),
        against(lambda r: r.p99_us),
        *(after if most else ["-"] * len(after)),
        f"{of(lambda r: r.load_us, 1)}+{of(lambda r: r.origin_us, 1)}",
        of(lambda r: r.load_core_busy * 100) + "%",
        of(lambda r: r.foreign * 100) + "%",
        "; ".join(remarks(rounds)),
    ]


def remarks(rounds: Sequence[Round]) -> list[str]:
    """What a reader must know of these rounds."""
    found = []
    errors = sum(r.errors for r in rounds)
    if errors:
        found.append(f"{errors} errors")
    if median(rounds, lambda r: r.load_core_busy) >= FULL:
        found.append("load full")
    return found


def memory(found: Mapping[str, Held]) -> Table:
    """Resident and proportional memory."""
    idle = f"{IDLE:,} idle"
    table = _table(
        "memory in MB: at start, and with silent clients",
        ["RSS at start", "PSS at start", f"RSS, {idle}", f"PSS, {idle}"],
    )
    for name, held in found.items():
        figures = (held.start.resident, held.start.proportional, held.idle.resident, held.idle.proportional)
        table.add_row(name, *(f"{figure / 1e6:.1f}" for figure in figures))
    return table


def disturbance(title: str, found: Mapping[str, Sequence[Probed]]) -> Table:
    """Medians of the windows, and the sums of slow requests."""
    headings = ["requests", "p50 us", "p99 us", "slowest ms", "least..most", "over 5 ms", "by the prober", "during it"]
    table = _table(f"{title}, beside 3,000 requests/s", [*headings, "longest ms"])
    for kind, windows in found.items():
        worst = [w.worst_us / 1e3 for w in windows]
        table.add_row(
            kind,
            f"{sum(w.requests for w in windows):,}",
            f"{statistics.median(w.p50_us for w in windows):,.0f}",
            f"{statistics.median(w.p99_us for w in windows):,.0f}",
            f"{statistics.median(worst):.1f}",
            f"{min(worst):.1f}..{max(worst):.1f}",
            f"{sum(w.slow for w in windows):,}",
            f"{sum(w.excused for w in windows):,}",
            f"{sum(w.during for w in windows):,}",
            f"{statistics.median(w.longest_us for w in windows) / 1e3:.1f}",
        )
    return table


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
