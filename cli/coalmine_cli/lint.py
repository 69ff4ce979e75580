"""`lint -f FILE|DIR|-`: what the cluster would refuse, said before it is asked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from coalmine.model.errors import SpecError
from coalmine_cli.call import DONE, REFUSED, Call, Verbs, add_output, add_verb
from coalmine_cli.output import document, is_text

if TYPE_CHECKING:
    from coalmine_cli.linting.findings import Finding
    from coalmine_cli.linting.manifests import Fault, Manifest
    from coalmine_cli.terminal import Line

_SUFFIXES: Final = (".yaml", ".yml", ".json")
#: A folder with more manifests than this is not the one that was meant.
_MOST_FILES: Final = 10_000
_STDIN: Final = "-"


def declare(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "lint",
        run,
        about="check manifests as the cluster would",
        more="Annotated Deployments, analysis templates, and the Services in front, by the code of the webhook and the "
        "controller; no cluster is asked. Folders are searched for .yaml, .yml and .json. Exit code 1 when something "
        "would be refused, 0 with warnings only.",
    )
    parser.add_argument(
        "-f",
        "--filename",
        dest="files",
        metavar="FILE|DIR|-",
        action="append",
        required=True,
        help="file or folder to check; - reads standard input; may be given several times",
    )
    add_output(parser)


async def run(call: Call) -> int:
    from coalmine_cli.linting.check import Bench
    from coalmine_cli.linting.findings import Severity

    bench = Bench(_manifests(call.arguments.files, call.terminal.stdin))
    findings = bench.findings()
    errors = sum(f.severity is Severity.ERROR for f in findings)
    warnings = len(findings) - errors
    if is_text(call):
        call.terminal.show([*(_line(f) for f in findings), *_summary(bench.checked, errors, warnings)])
    else:
        counts = {"checked": bench.checked, "errors": errors, "warnings": warnings}
        document(call, counts | {"findings": [f.to_json() for f in findings]})
    return REFUSED if errors else DONE


def _line(finding: Finding) -> Line:
    from coalmine_cli.linting.findings import Severity
    from coalmine_cli.terminal import Span, clean

    where, severity, what = finding.text.partition(f": {finding.severity.value}: ")
    style = "bad" if finding.severity is Severity.ERROR else "warning"
    return Span(clean(where), "label"), Span(severity, style), Span(clean(what))


def _summary(checked: int, errors: int, warnings: int) -> list[Line]:
    from coalmine_cli.terminal import Span

    if not checked and not errors and not warnings:
        return [
            (Span("nothing to check: no Deployment with the annotation coalmine.dev/canary, no analysis template"),)
        ]
    objects = f"{checked} object{'s' * (checked != 1)} checked"
    if not errors and not warnings:
        return [(Span(objects), Span(": nothing to complain of", "good"))]
    told = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    return [(Span(f"{objects}: "), Span(told, "bad" if errors else "warning"))]


def _manifests(names: Sequence[str], stdin: TextIO | None) -> Iterator[Manifest | Fault]:
    """The objects of all files. Raises SpecError for a file that was named and is not there."""
    from coalmine_cli.linting.manifests import MAX_FILE, Fault, read

    for file in _files(names):
        shown = "<stdin>" if file == _STDIN else file
        try:
            with _opened(file, stdin) as stream:
                text = stream.read(MAX_FILE + 1)
        except UnicodeDecodeError:
            yield Fault(shown, 1, "the file is not UTF-8; write it in UTF-8")
        except OSError as error:
            raise _unreadable(error, shown) from error
        else:
            yield from read(shown, text)


def _opened(file: str, stdin: TextIO | None) -> contextlib.AbstractContextManager[TextIO]:
    if file != _STDIN:
        return open(file, encoding="utf-8-sig")
    if stdin is None:
        raise SpecError("-f -", "there is no standard input", "name a file")
    return contextlib.nullcontext(stdin)


def _unreadable(error: OSError, name: str) -> SpecError:
    return SpecError("-f", f"{name or repr(name)} cannot be read: {error.strerror}", "name a file or folder that can")


def _refuse(error: OSError) -> None:
    """A folder that is passed over would look as if nothing were wrong in it."""
    raise _unreadable(error, str(error.filename)) from error


def _files(names: Sequence[str]) -> Iterator[str]:
    """The files, those of folders in the order of their names; hidden ones are passed over."""
    count = 0
    for name in dict.fromkeys(names):
        if name == _STDIN or not os.path.isdir(name):
            yield name
            continue
        for folder, below, files in os.walk(name, onerror=_refuse):
            below[:] = sorted(f for f in below if not f.startswith("."))
            for file in sorted(files):
                if Path(file).suffix.lower() in _SUFFIXES and not file.startswith("."):
                    count += 1
                    if count > _MOST_FILES:
                        raise SpecError("-f", f"{name} has more than {_MOST_FILES} manifests", "name a smaller folder")
                    yield os.path.join(folder, file)
