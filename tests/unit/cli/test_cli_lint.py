"""`lint`: what is found in the files below golden/lint, and that no file whatever ends it in a traceback."""

from __future__ import annotations

import asyncio
import copy
import errno
import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from cli_api import Api, Cli
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.model.names import CANARY
from coalmine_cli.call import DONE, REFUSED
from coalmine_cli.linting import manifests
from coalmine_cli.linting.check import Bench
from coalmine_cli.linting.findings import Finding, Severity
from coalmine_cli.linting.positions import line_of, path_in, tokens
from coalmine_webhook.deployment import decide
from coalmine_webhook.review import Denied, Review

GOLDEN = Path(__file__).parent / "golden" / "lint"
EXAMPLES = Path(__file__).parents[3] / "examples"


def linted(*argv: str, stdin: str | None = None) -> tuple[int, str, str]:
    """Run `lint`; file names are shown from `GOLDEN` on."""
    cli = Cli(Api(), Path("/nowhere"), lambda: 0.0)
    cli.write_kubeconfig = lambda: None  # type: ignore[method-assign]
    cli.terminal = replace(cli.terminal, stdin=None if stdin is None else io.StringIO(stdin))
    code = asyncio.run(cli.run("lint", *argv))
    return code, cli.out.getvalue().replace(f"{GOLDEN}/", ""), cli.err.getvalue()


def found(text: str) -> list[Finding]:
    return Bench(manifests.read("f", text)).findings()


def messages(text: str, severity: Severity = Severity.ERROR) -> list[tuple[int, str]]:
    return [(f.line, f.message) for f in found(text) if f.severity is severity]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("bad.yaml", REFUSED),
        ("routes.yaml", REFUSED),
        ("shapes.json", REFUSED),
        ("service.yaml", REFUSED),
        ("warnings.yaml", DONE),
    ],
)
def test_screen(name: str, code: int) -> None:
    result, out, err = linted("-f", str(GOLDEN / name))
    assert (result, err) == (code, "")
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(out)
    assert out == golden.read_text(), "if that is meant, run with UPDATE_GOLDEN=1"


def test_the_examples_are_clean() -> None:
    assert linted("-f", str(EXAMPLES)) == (DONE, "4 objects checked: nothing to complain of\n", "")


def test_folders_files_and_standard_input_together() -> None:
    text = (GOLDEN / "bad.yaml").read_text()
    code, out, _ = linted("-f", str(EXAMPLES), "-f", "-", "-o", "json", stdin=text)
    found = json.loads(out)
    assert code == REFUSED
    assert list(found) == ["checked", "errors", "warnings", "findings"]
    assert {f["file"] for f in found["findings"]} == {"<stdin>"}
    assert list(found["findings"][0]) == ["file", "line", "severity", "kind", "name", "path", "message"]
    assert yaml.safe_load(linted("-f", "-", "-o", "yaml", stdin=text)[1])["errors"] == found["errors"]


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    for name in (".git/config.yaml", "below/.draft.yaml", "notes.txt", "below/empty.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("" if "empty" in name else "{")
    code, out, _ = linted("-f", str(tmp_path))
    assert (code, out) == (
        DONE,
        "nothing to check: no Deployment with the annotation coalmine.dev/canary, no analysis template\n",
    )


@pytest.mark.parametrize(("name", "shown"), [("missing.yaml", "missing.yaml"), ("", "''")])
def test_a_file_that_is_not_there(name: str, shown: str) -> None:
    code, out, err = linted("-f", name)
    assert (code, out) == (REFUSED, "")
    assert err == f"coalmine: -f: {shown} cannot be read: No such file or directory; name a file or folder that can\n"


def test_a_folder_that_may_not_be_read_is_not_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def closed(path: str) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "scandir", closed)  # root may read all of them
    code, out, err = linted("-f", str(tmp_path))
    assert (code, out) == (REFUSED, "")
    assert err == f"coalmine: -f: {tmp_path} cannot be read: Permission denied; name a file or folder that can\n"


def test_a_standard_input_that_is_no_text() -> None:
    cli = Cli(Api(), Path("/nowhere"), lambda: 0.0)
    cli.write_kubeconfig = lambda: None  # type: ignore[method-assign]
    cli.terminal = replace(cli.terminal, stdin=io.TextIOWrapper(io.BytesIO(b"\xff\xfe\x00"), encoding="utf-8-sig"))
    assert asyncio.run(cli.run("lint", "-f", "-")) == REFUSED
    assert cli.out.getvalue().startswith("<stdin>:1: error: the file is not UTF-8; write it in UTF-8\n")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    code, out, _ = linted("-f", str(tmp_path))
    assert code == REFUSED
    assert "x.yaml:1: error: the file is not UTF-8; write it in UTF-8\n" in out


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("a: 1\nb: [\n", 3, "this is not YAML: expected the node content, but found '<stream end>'"),
        ("kind: X\na:\n  b: 1\n  b: 2\n", 4, "this is not YAML: b stands twice"),
        (
            "kind: Deployment\nname: {{ .Values.name }}\n",
            2,
            "this is not YAML: found unhashable key; render a template first: helm template . | coalmine lint -f -",
        ),
        ("{{- if .x }}\nkind: X\n", 1, "render a template first"),
        ('{"kind": "X",\n "a": ]}', 2, "this is not YAML"),
        ("kind: X\na: &a [1, *a]\n", 1, "nested too deeply"),
        ("[" * 3000, 1, "nested too deeply"),
        ("kind: X\na: !!python/object:os.system {}\n", 2, "this is not YAML: could not determine a constructor"),
        ("kind: X\na: " + "9" * 5000, 2, "is no value of its kind"),
    ],
)
def test_files_that_cannot_be_read(text: str, line: int, sentence: str) -> None:
    ((at, message),) = messages(text)
    assert at == line
    assert sentence in message


def test_aliases_are_read_and_bounded() -> None:
    assert not found("kind: X\na: &a [1]\nb: *a\n")
    bomb = "kind: X\na0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    ((_, message),) = messages(bomb)
    assert "its aliases stand for more than 500000 values" in message


def test_what_stood_before_a_fault_is_checked_all_the_same() -> None:
    text = (GOLDEN / "service.yaml").read_text() + "---\na: [\n"
    assert len(messages(text)) == 3


# --- where a field stands -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("spec.template.spec.containers[0].name", ["spec", "template", "spec", "containers", 0, "name"]),
        (f"metadata.annotations[{CANARY}].steps[12]", ["metadata", "annotations", CANARY, "steps", 12]),
        ("", []),
    ],
)
def test_tokens(path: str, steps: list[str | int]) -> None:
    assert tokens(path) == steps


@pytest.mark.parametrize(
    ("sentence", "path"),
    [
        (
            f"metadata.annotations[{CANARY}].steps[0].setWeight: 120 is not",
            f"metadata.annotations[{CANARY}].steps[0].setWeight",
        ),
        ("no sidecar fits: spec.template.spec.containers: no TCP port", "spec.template.spec.containers"),
        ("spec.selector matches objects without labels", "spec.selector"),
        ("the handover is in progress", ""),
        ("myspec.of: x", ""),
    ],
)
def test_the_path_in_a_sentence(sentence: str, path: str) -> None:
    assert path_in(sentence) == path


@pytest.mark.parametrize("style", ["|", "|-", "|2-"])
def test_lines_inside_an_annotation(style: str) -> None:
    indent = "    " if style == "|2-" else "      "
    lines = [
        "metadata:",
        "  annotations:",
        f"    {CANARY}: {style}",
        f"{indent}  steps:",
        f"{indent}  - setWeight: 200",
    ]
    node = yaml.compose("\n".join(lines), Loader=yaml.SafeLoader)
    assert line_of(node, f"metadata.annotations[{CANARY}].steps[0].setWeight") == 5
    assert line_of(node, f"metadata.annotations[{CANARY}].nothing") == 3 + 1
    assert line_of(node, "spec.replicas") == 1


# --- the same words as the webhook ----------------------------------------------------------


def bad() -> dict[str, Any]:
    document: dict[str, Any] = next(yaml.safe_load_all((GOLDEN / "bad.yaml").read_text()))
    return document


def test_the_first_error_is_what_the_webhook_says() -> None:
    outcome = decide(Review("u", "CREATE", "", "default", "shop", "jane", False, bad(), None))
    assert isinstance(outcome, Denied)
    assert outcome.message in [m for _, m in messages(yaml.safe_dump(bad()))]


def test_what_is_mended_step_by_step_is_clean_in_the_end() -> None:
    """Each error that is told, once mended, is gone: and with the last one the webhook lets it pass."""
    good = bad()
    annotations = good["metadata"]["annotations"]
    annotations[CANARY] = "steps: [{setWeight: 12}]"
    for key in ("protocol", "local-paths", "prot", "stable"):
        del annotations[f"coalmine.dev/{key}"]
    spec = good["spec"]
    del spec["strategy"], spec["template"]["spec"]["hostNetwork"], spec["template"]["spec"]["volumes"]
    spec["selector"] = {"matchLabels": {"app": "shop"}}
    spec["template"]["spec"]["containers"][0]["ports"][0]["name"] = "web"
    assert not messages(yaml.safe_dump(good))
    outcome = decide(Review("u", "CREATE", "", "default", "shop", "jane", False, good, None))
    assert not isinstance(outcome, Denied)


_TEMPLATE = """
apiVersion: coalmine.dev/v1alpha1
kind: AnalysisTemplate
metadata: {name: check}
spec:
  args: [{name: host}, {name: path, value: /}]
  metrics: [{name: a, provider: {web: {url: "http://{{args.host}}{{args.path}}"}}}]
---
"""
_DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: %s
  annotations: {coalmine.dev/canary: "analysis: {templates: [{templateName: check}], args: [%s]}"}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, ports: [{name: http, containerPort: 80}]}]}
"""


def test_arguments_that_a_template_wants() -> None:
    ((line, message),) = messages(_TEMPLATE + _DEPLOYMENT % ("default", ""))
    assert line == 15
    assert message == (
        "metadata.annotations[coalmine.dev/canary].analysis: AnalysisTemplate check: spec.args: 'host' has no value; "
        "add {name: host, value: VALUE} to the args"
    )
    assert not found(_TEMPLATE + _DEPLOYMENT % ("default", "{name: host, value: web}"))
    hash_value = "{name: host, valueFrom: {podTemplateHashValue: Latest}}"
    assert not found(_TEMPLATE + _DEPLOYMENT % ("default", hash_value))


def test_a_template_of_another_namespace_is_another() -> None:
    elsewhere = _TEMPLATE.replace("{name: check}", "{name: check, namespace: other}")
    text = elsewhere + _DEPLOYMENT % ("default", "{name: host, value: web}")
    ((_, message),) = messages(text, Severity.WARNING)
    assert "the AnalysisTemplate check is not among these files" in message


def test_off_is_not_judged() -> None:
    text = _DEPLOYMENT.replace('"analysis: {templates: [{templateName: check}], args: [%s]}"', '"off"') % "x"
    assert not found(text.replace("name: http, ", ""))


# --- whatever stands in a file ---------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 99) | st.sampled_from(["", "web", "off", "steps: [1]", "{}", "http"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "spec", "ports"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, item in inner for p in places(item, (*path, key)))]


OBJECTS = [o for name in ("bad.yaml", "service.yaml") for o in yaml.safe_load_all((GOLDEN / name).read_text())]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_object_ends_in_a_traceback(data: st.DataObject) -> None:
    objects = copy.deepcopy(OBJECTS)
    for _ in range(data.draw(st.integers(1, 3))):
        one = data.draw(st.sampled_from(objects))
        where = data.draw(st.sampled_from(places(one)[1:]))
        for key in where[:-1]:
            one = one[key]
        one[where[-1]] = data.draw(VALUES)
    for finding in found(yaml.safe_dump_all(objects)):
        assert finding.line >= 1
        assert finding.message


@settings(deadline=None)
@given(st.text(alphabet="{}[]:,-|>&*!%@`\"'# \n\tabk0.", max_size=60))
def test_no_text_ends_in_a_traceback(text: str) -> None:
    found(text)
    found(f"kind: Deployment\n{text}")
