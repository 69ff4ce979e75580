"""NetworkPolicies, evaluated: a table of policies, and what of the sidecars' connections they forbid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import check_sight as make
import pytest
import yaml

from coalmine.kube import resources as r
from coalmine_cli.checking import policies, report
from coalmine_cli.checking.policies import Peer
from coalmine_cli.checking.sight import One

SYSTEM = "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: coalmine-system}}"
OURS = "podSelector: {matchLabels: {app: colorapi}}"
OPEN = (
    f"{{from: [{{{SYSTEM}}}], ports: [{{port: 17081}}]}}, "
    f"{{from: [{{{OURS}}}], ports: [{{port: 5000}}, {{port: 17081}}]}}"
)

CONTROLLER = "keeps the controller from the sidecars' admin port"
PEERS = "keeps its pods from each other"
OUT = "keeps its pods from sending to each other"
CLIENTS = "opens port 5000 by its number"

TABLE: list[tuple[str, str, list[str]]] = [
    ("none of its pods", "podSelector: {matchLabels: {app: other}}", []),
    ("everything is closed", "podSelector: {}", [CONTROLLER, PEERS]),
    ("everything is open", "{podSelector: {}, ingress: [{}]}", []),
    ("what is needed", f"{{podSelector: {{}}, ingress: [{OPEN}]}}", []),
    ("only egress is meant", "{podSelector: {}, policyTypes: [Egress], egress: [{}]}", []),
    ("the namespace of the controller, any port",
     f"{{podSelector: {{}}, ingress: [{{from: [{{{SYSTEM}}}]}}]}}", [PEERS]),
    ("another namespace", "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {a: b}}}]}]}",
     [CONTROLLER, PEERS]),
    ("all namespaces", "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}", []),
    ("only its own namespace", "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}", [CONTROLLER]),
    ("namespace and pods", f"{{podSelector: {{}}, ingress: [{{from: [{{{SYSTEM}, podSelector: {{matchLabels: "
     "{app: coalmine-controller}}}]}]}", [PEERS]),
    ("namespace and other pods", f"{{podSelector: {{}}, ingress: [{{from: [{{{SYSTEM}, podSelector: {{matchLabels: "
     "{app: other}}}]}]}", [CONTROLLER, PEERS]),
    ("a range with the port", f"{{podSelector: {{}}, ingress: [{{from: [{{{SYSTEM}}}], ports: [{{port: 17000, "
     "endPort: 17999}]}]}", [PEERS]),
    ("a range without", f"{{podSelector: {{}}, ingress: [{{from: [{{{SYSTEM}}}], ports: [{{port: 17000, "
     "endPort: 17080}]}]}", [CONTROLLER, PEERS]),
    ("UDP", f"{{podSelector: {{}}, ingress: [{{from: [{{{SYSTEM}}}], ports: [{{port: 17081, protocol: UDP}}]}}]}}",
     [CONTROLLER, PEERS]),
    ("clients by the number", f"{{podSelector: {{}}, ingress: [{OPEN}, {{ports: [{{port: 5000}}]}}]}}", [CLIENTS]),
    ("clients by the name", f"{{podSelector: {{}}, ingress: [{OPEN}, {{ports: [{{port: web}}]}}]}}", []),
    ("clients by both numbers",
     f"{{podSelector: {{}}, ingress: [{OPEN}, {{ports: [{{port: 5000}}, {{port: 17080}}]}}]}}", []),
    ("by address", "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}", [CONTROLLER]),
    ("by address, but not these",
     "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/24]}}]}]}",
     [CONTROLLER, PEERS]),
    ("egress to nowhere", "{podSelector: {}, policyTypes: [Egress]}", [OUT]),
    ("egress to the world's port 443", "{podSelector: {}, egress: [{ports: [{port: 443}]}], ingress: [{}]}", [OUT]),
    ("egress to its peers", "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}", []),
]  # fmt: skip


def found(*specs: str) -> list[Any]:
    """What is said of the network, with policies of these specs."""
    made = []
    for number, spec in enumerate(specs):
        text = spec if spec.startswith("{") else f"{{{spec}}}"
        made.append(make.of("NetworkPolicy", f"spec: {text}", name=f"p{number}"))
    findings = report.findings(make.sight({r.NETWORK_POLICIES: made}), before=False)
    return [f for f in findings if f.check == "network policy"]


@pytest.mark.parametrize(("spec", "parts"), [c[1:] for c in TABLE], ids=[c[0] for c in TABLE])
def test_policies(spec: str, parts: list[str]) -> None:
    findings = found(spec)
    bad = [f for f in findings if f.result.value != "ok"]
    assert len(bad) == len(parts), [f.text for f in findings]
    assert all(part in one.message for part, one in zip(parts, bad, strict=True))
    assert all("p0" in one.message and one.advice for one in bad)


def test_policies_add_up() -> None:
    closed = "{podSelector: {}}"
    assert [f.result.value for f in found(closed, f"{{podSelector: {{}}, ingress: [{OPEN}]}}")] == ["ok"]


def test_what_to_write_is_what_opens_it() -> None:
    """The advice of each finding, taken by the word, is a rule that mends it."""
    (controller, peers) = found("podSelector: {}")
    rules = []
    for one in (controller, peers):
        _, _, text = one.advice.partition("ingress rule: ")
        rules.append(yaml.safe_load(f"{{{text}}}"))
    text = yaml.safe_dump({"podSelector": {}, "ingress": rules}, default_flow_style=True, width=10_000)
    assert [f.result.value for f in found(text.strip())] == ["ok"]


def test_policies_of_other_namespaces_do_not_count() -> None:
    policy = make.of("NetworkPolicy", "spec: {podSelector: {}}", namespace="elsewhere")
    findings = report.findings(make.sight({r.NETWORK_POLICIES: [policy]}), before=False)
    assert [f.text for f in findings if f.check == "network policy"] == ["no NetworkPolicy selects its pods"]


def test_labels_that_are_not_known_may_match() -> None:
    """A controller outside of the cluster: nobody is warned for what cannot be known."""
    rule = f"{{from: [{{{SYSTEM}, podSelector: {{matchLabels: {{a: b}}}}}}]}}"
    policy = make.of("NetworkPolicy", f"spec: {{podSelector: {{}}, ingress: [{rule}]}}")
    target = Peer("shop", {}, {"app": "colorapi"}, {})
    outside = Peer("coalmine-system", {"kubernetes.io/metadata.name": "coalmine-system"}, None, {})
    inside = Peer("coalmine-system", {"kubernetes.io/metadata.name": "coalmine-system"}, {"c": "d"}, {})
    assert policies.admits([policy], outside, target, 17081)
    assert not policies.admits([policy], inside, target, 17081)


def test_a_policy_around_the_controller() -> None:
    closed = make.of("NetworkPolicy", "spec: {podSelector: {}, policyTypes: [Egress]}", namespace="coalmine-system")
    findings = report.findings(make.sight({r.NETWORK_POLICIES: [closed]}), before=False)
    assert [f.text for f in findings if f.check == "network policy"] == [
        "the NetworkPolicy one in coalmine-system keeps the controller from the sidecars' admin port; "
        "add an egress rule there: to: [{namespaceSelector: {}}], ports: [{port: 17081}]"
    ]
    rule = "{to: [{namespaceSelector: {}}], ports: [{port: 17081}]}"
    open_ = make.of("NetworkPolicy", f"spec: {{podSelector: {{}}, egress: [{rule}]}}", namespace="coalmine-system")
    findings = report.findings(make.sight({r.NETWORK_POLICIES: [open_]}), before=False)
    assert [f.text for f in findings if f.check == "network policy"] == ["no NetworkPolicy selects its pods"]


def test_the_policies_that_are_documented_open_what_is_needed_and_no_more() -> None:
    """Beside policies that close a namespace in both directions."""
    text = (Path(__file__).parents[3] / "docs" / "install.md").read_text()
    documented = [yaml.safe_load(b) for b in re.findall(r"```yaml\n(.*?)```", text, re.S) if "NetworkPolicy" in b]
    assert len(documented) == 2
    for policy in documented:
        policy["metadata"]["namespace"] = "shop"
    closed = make.of("NetworkPolicy", "spec: {podSelector: {}, policyTypes: [Ingress, Egress]}", name="closed")
    controller = make.component("coalmine-controller")
    labels = {"app.kubernetes.io/name": "coalmine-controller"}
    controller["spec"]["template"]["metadata"]["labels"] = labels

    def found(*objects: Any) -> list[str]:
        sight = make.sight({r.NETWORK_POLICIES: list(objects)}, controller=One(controller))
        return [f for f in make.bad(report.findings(sight, before=False)) if "network policy" in f]

    assert len(found(closed)) == 3
    assert found(closed, *documented) == []
    space = {"kubernetes.io/metadata.name": "shop"}
    ours, other = (Peer("shop", space, {"app": app, "coalmine.dev/sidecar": "true"}, {}) for app in ("colorapi", "pay"))
    assert policies.admits((closed, *documented), ours, ours, 5000)
    assert not policies.admits((closed, *documented), other, ours, 5000)
    assert not policies.lets_out((closed, *documented), ours, other, 5000)
