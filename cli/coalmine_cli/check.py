"""`check [-A] [--before] [--strict]`: whether a cluster can have Coalmine, and whether what it has works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coalmine_cli.call import DONE, REFUSED, Call, Verbs, add_output, add_verb
from coalmine_cli.output import document, is_text

if TYPE_CHECKING:
    from coalmine_cli.checking.findings import Finding
    from coalmine_cli.terminal import Line


def declare(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "check",
        run,
        about="look whether a cluster can have Coalmine, and whether what it has works",
        more="Server, rights, webhook, certificates, controller, and the annotated Deployments of a namespace with "
        "what stands in their way. Nothing is written: one server-side dry run asks the webhook. Exit code 1 when "
        "something failed, 0 with warnings only.",
    )
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="the Deployments of all namespaces")
    parser.add_argument(
        "--before",
        action="store_true",
        help="before an installation: what it needs; default: told by Coalmine's kinds being there",
    )
    parser.add_argument("--strict", action="store_true", help="warnings are failures, too")
    add_output(parser)


async def run(call: Call) -> int:
    from coalmine_cli.checking.findings import is_bad
    from coalmine_cli.checking.reading import Reader
    from coalmine_cli.checking.report import findings
    from coalmine_cli.cluster import connected

    arguments = call.arguments
    async with connected(arguments) as cluster:
        namespace = None if arguments.all_namespaces else cluster.namespace
        reader = Reader(cluster.client, namespace, cluster.namespace, call.clock())
        sight, before = await reader.read(before=True if arguments.before else None)
    found = findings(sight, before=before)
    if is_text(call):
        call.terminal.show([*_lines(found), _summary(found, before=before)])
    else:
        document(call, {"before": before, **_counts(found), "findings": [f.to_json() for f in found]})
    return REFUSED if is_bad(found, strict=arguments.strict) else DONE


def _counts(found: list[Finding]) -> dict[str, int]:
    from coalmine_cli.checking.findings import Result

    return {result.value: sum(f.result is result for f in found) for result in Result}


def _lines(found: list[Finding]) -> list[Line]:
    from coalmine_cli.checking.findings import Result
    from coalmine_cli.terminal import Span, clean

    styles = {Result.OK: "good", Result.WARNING: "warning", Result.FAILED: "bad", Result.SKIPPED: "idle"}
    return [
        (
            Span(f"{f.result.value:<8} ", styles[f.result]),
            Span(clean(f"{f.about}: "), "label"),
            Span(clean(f"{f.check}: {f.text}")),
        )
        for f in found
    ]


def _summary(found: list[Finding], *, before: bool) -> Line:
    from coalmine_cli.terminal import Span

    told = ", ".join(f"{count} {word}" for word, count in _counts(found).items() if count)
    return (Span(f"{told}{' (before an installation)' if before else ''}", "label"),)
