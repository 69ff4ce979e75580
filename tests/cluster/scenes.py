"""A controller behind the interceptor, and the application with its user: where crashes and chaos are staged."""

from __future__ import annotations

import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import NamedTuple

import yaml
from interceptor import Interceptor
from releases import Stage, staged

from coalmine_sandbox.daemon import Daemon
from coalmine_sandbox.lab import Lab


class Scene(NamedTuple):
    stage: Stage
    interceptor: Interceptor
    controller: Daemon
    lab: Lab


@contextlib.asynccontextmanager
async def behind_interceptor(lab: Lab, name: str) -> AsyncIterator[Scene]:
    """`name` is the controller's identity and the namespace's."""
    cluster = yaml.safe_load(lab.control_plane.admin_kubeconfig.read_text())["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    interceptor = Interceptor(cluster["server"], ssl.create_default_context(cadata=authority))
    async with interceptor.serving():
        controller = await lab.start_controller(name, server=interceptor.url)
        async with staged(lab, name) as stage:
            yield Scene(stage, interceptor, controller, lab)
        await controller.stop()
        lab.controllers.remove(controller)
