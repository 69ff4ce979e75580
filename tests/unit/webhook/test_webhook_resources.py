"""What the installation sets of the sidecar: quantities, kind, policy; the pods as golden files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.model import names, quantities
from coalmine.model.errors import RemoteError
from coalmine_webhook.pod import decide_pod
from coalmine_webhook.resources import Resources, check, parse
from coalmine_webhook.review import Review
from coalmine_webhook.sidecar import Kind, Settings
from coalmine_webhook.versions import kind_for


@pytest.mark.parametrize(
    "text", ["0", "1", "25m", "1.5", ".5", "1.", "48Mi", "1Gi", "1e3", "1E3", "1E", "2k", "12e-3", "100n", "7u", "3Ki"]
)
def test_quantities_as_the_api_server_reads_them(text):
    assert parse(text) == quantities.parse(text)


@given(st.text(alphabet="0123456789.+-eEinmukKMGTP ", max_size=8))
def test_whatever_is_accepted_the_api_server_accepts(text):
    try:
        amount = parse(text)
    except ValueError:
        return
    assert amount == quantities.parse(text)
    assert amount >= 0


@pytest.mark.parametrize(
    "text", ["", " ", "1 ", "-1", "+1", "m", "1mm", "0x1", "1e", "1e999", "9" * 40, "Mi", "1mi", "١"]
)
def test_what_is_no_quantity(text):
    with pytest.raises(ValueError, match="is no quantity"):
        parse(text)


@pytest.mark.parametrize(
    ("fields", "container"),
    [
        ({}, {"requests": {"cpu": "25m", "memory": "48Mi"}, "limits": {"cpu": "3", "memory": "192Mi"}}),
        (
            {"cpu_limit": "", "memory_limit": "256Mi", "cpu_request": "50m"},
            {"requests": {"cpu": "50m", "memory": "48Mi"}, "limits": {"memory": "256Mi"}},
        ),
        ({"cpu_limit": "", "memory_limit": ""}, {"requests": {"cpu": "25m", "memory": "48Mi"}}),
        (
            {"cpu_limit": "500m"},
            {"requests": {"cpu": "25m", "memory": "48Mi"}, "limits": {"cpu": "500m", "memory": "192Mi"}},
        ),
    ],
)
def test_resources(fields, container):
    resources = Resources(**fields)
    check(resources)
    assert resources.for_container(3) == container


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"cpu_request": "much"}, "--sidecar-cpu-request 'much': write a quantity, for example 50m"),
        ({"cpu_request": ""}, "--sidecar-cpu-request '': write a quantity, for example 50m"),
        ({"cpu_request": "0"}, "--sidecar-cpu-request '0': too little; write at least 1m"),
        ({"memory_request": "48m"}, "--sidecar-memory-request '48m': too little; write at least 16Mi"),
        ({"memory_limit": "-1"}, "--sidecar-memory-limit '-1': write a quantity, for example 192Mi"),
        (
            {"memory_request": "1Gi"},
            "--sidecar-memory-limit '192Mi': less than --sidecar-memory-request '1Gi'; write more",
        ),
        ({"cpu_limit": "20m"}, "--sidecar-cpu-limit '20m': less than --sidecar-cpu-request '25m'; write more"),
        (
            {"cpu_request": "2"},
            "--sidecar-cpu-request '2': more than the limit, which is a core for each process; "
            'write --sidecar-cpu-limit as well, "" for none',
        ),
    ],
)
def test_what_the_api_server_would_refuse(fields, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the sentence is compared
        check(Resources(**fields))
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("major", "minor", "kind"),
    [
        ("1", "32", Kind.CLASSIC),
        ("1", "32+", Kind.CLASSIC),
        ("1", "33", Kind.NATIVE),
        ("1", "33+", Kind.NATIVE),
        ("1", "36", Kind.NATIVE),
        ("2", "0", Kind.NATIVE),
    ],
)
def test_the_kind_by_the_servers_version(major, minor, kind):
    assert kind_for({"major": major, "minor": minor, "gitVersion": "v9"}) is kind


@pytest.mark.parametrize("version", [{}, {"major": "1"}, {"major": "x", "minor": "33"}, {"major": "1", "minor": None}])
def test_a_version_that_is_none(version):
    with pytest.raises(RemoteError, match="write --sidecar native or classic"):
        kind_for(version)


OWNERS = [{"kind": "ReplicaSet", "name": "web-abc", "controller": True}]
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "web-abc-", "labels": {names.SIDECAR_LABEL: "true"}, "ownerReferences": OWNERS},
    "spec": {"containers": [{"name": "app", "image": "app:1", "ports": [{"name": "web", "containerPort": 5000}]}]},
}
GENEROUS = Resources("100m", "64Mi", "2", "1Gi")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("set-native", Settings("registry.example/coalmine:1", Kind.NATIVE, GENEROUS, "Always")),
        ("set-classic", Settings("coalmine:test", Kind.CLASSIC, Resources(cpu_limit="", memory_limit=""), "Never")),
    ],
)
def test_golden(golden, apply, name, settings):
    review = Review("1", "CREATE", "", "shop", "web-abc-", "rs", False, POD, None)
    replica_set = {"metadata": {"name": "web-abc", "annotations": {}}}
    golden(f"pod-{name}", apply(POD, decide_pod(review, replica_set, settings)))
