"""An empty namespace and a controller behind the interceptor: what is deployed there comes from Git, not from us."""

from __future__ import annotations

import base64
import contextlib
import ssl
from collections.abc import AsyncIterator

import yaml
from interceptor import Interceptor
from releases import Stage
from scenes import Scene

from coalmine.kube.resources import NAMESPACES, SERVICE_ACCOUNTS
from coalmine_sandbox.lab import Lab


@contextlib.asynccontextmanager
async def namespaced(lab: Lab, name: str) -> AsyncIterator[Stage]:
    """A namespace that goes away afterwards; the Rollout colorapi in it is followed, once there is one."""

    async def made() -> bool:
        return await lab.client.find(SERVICE_ACCOUNTS, name, "default") is not None

    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await lab.client.create(NAMESPACES, None, body)
    await lab.until(made, "the service account is made")
    stage = Stage(lab, name)
    async with stage.app.running():
        yield stage
    await lab.client.delete(NAMESPACES, None, name)


@contextlib.asynccontextmanager
async def empty(lab: Lab, name: str) -> AsyncIterator[Scene]:
    """`name` is the controller's identity and the namespace's."""
    cluster = yaml.safe_load(lab.control_plane.admin_kubeconfig.read_text())["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    interceptor = Interceptor(cluster["server"], ssl.create_default_context(cadata=authority))
    async with interceptor.serving():
        controller = await lab.start_controller(name, server=interceptor.url)
        async with namespaced(lab, name) as stage:
            yield Scene(stage, interceptor, controller, lab)
        await controller.stop()
        lab.controllers.remove(controller)
