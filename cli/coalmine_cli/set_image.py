"""`set image DEPLOYMENT CONTAINER=IMAGE ...`: ask for a new version; what happens then is the webhook's affair."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from coalmine.model.errors import SpecError
from coalmine_cli.call import DONE, Call, Verbs, add_output, add_verb, bare_name
from coalmine_cli.output import told
from coalmine_cli.template import consequence

#: Stands for all containers (init containers, which are other programs, have to be named).
ALL = "*"


class Pair(NamedTuple):
    """A container's name, or ALL, and the image that it gets."""

    container: str
    image: str


def declare(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "image",
        run,
        about="give a Deployment's containers new images",
        more='For example: coalmine set image colorapi "*=particule/simplecolorapi:2.0"',
    )
    parser.add_argument("name", metavar="DEPLOYMENT", type=bare_name, help="name of the Deployment")
    parser.add_argument(
        "pairs",
        metavar="CONTAINER=IMAGE",
        nargs="+",
        type=_pair,
        help="the container's new image; * stands for all containers (but for init containers)",
    )
    add_output(parser)


def _pair(text: str) -> Pair:
    container, separator, image = text.partition("=")
    if not separator or not container or not image.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not CONTAINER=IMAGE: write for example app=nginx:1.29")
    return Pair(container, image.strip())


def images_patch(template: Mapping[str, Any], pairs: Sequence[Pair], name: str) -> dict[str, Any]:
    """The strategic merge patch of the Deployment `name`; {} when it has these images already.

    Raises SpecError for a container that is not in the template.
    """
    spec = template.get("spec") or {}
    kinds = {
        kind: {c["name"]: c.get("image") for c in spec.get(kind) or ()} for kind in ("containers", "initContainers")
    }
    wanted: dict[str, str] = {}
    for pair in pairs:
        names = list(kinds["containers"]) if pair.container == ALL else [pair.container]
        for container in names:
            if not any(container in of for of in kinds.values()):
                known = ", ".join([*kinds["containers"], *kinds["initContainers"]])
                raise SpecError("", f"the Deployment {name} has no container {container}", f"it has {known}")
            if wanted.setdefault(container, pair.image) != pair.image:
                raise SpecError("", f"two images are given for the container {container}", "give one")
    changes = {
        kind: [{"name": c, "image": wanted[c]} for c, image in of.items() if c in wanted and wanted[c] != image]
        for kind, of in kinds.items()
    }
    changes = {kind: change for kind, change in changes.items() if change}
    return {"spec": {"template": {"spec": changes}}} if changes else {}


async def run(call: Call) -> int:
    from coalmine.kube.resources import DEPLOYMENTS
    from coalmine.kube.verbs import STRATEGIC
    from coalmine_cli.cluster import connected

    name = call.arguments.name
    async with connected(call.arguments) as cluster:
        before = await cluster.deployment(name)
        patch = images_patch(before["spec"]["template"], call.arguments.pairs, name)
        if not patch:
            sentence = f"deployment.apps/{name} has these images already: nothing changed"
            told(call, cluster.namespace, "set image", sentence, changed=False)
            return DONE
        after = await cluster.client.patch(DEPLOYMENTS, cluster.namespace, name, patch, kind=STRATEGIC)
        sentence = f"deployment.apps/{name} image updated\n{consequence(before, after)}"
        told(call, cluster.namespace, "set image", sentence)
    return DONE
