"""What settings do, seen from outside a process: each changes what it says, and nothing is half understood."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from sidecar_process import HOST, SidecarProcess, sidecar_process

from coalmine.model.proxy_settings import parse_settings


def static(w: Any, stable: Any, **fields: Any) -> list[str]:
    file = w.folder / "static.json"
    file.write_text(json.dumps({"stable": [f"{HOST}:{stable.port}"], **fields}))
    return ["--static", str(file)]


def in_pod(app: Any, settings: str) -> tuple[list[str], dict[str, str]]:
    """As injection would start it; `settings` is what the annotation says."""
    arguments = ["--app-port", str(app.port), "--settings", parse_settings(settings).for_injection()]
    return arguments, {"COALMINE_POD_UID": "pod", "COALMINE_POD_IP": HOST}


async def page(w: Any, process: SidecarProcess) -> str:
    return (await w.ask(process.admin_port, path="/metrics")).body.decode()


def test_timeouts_and_limits(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        arguments, environ = in_pod(
            await w.app("a"), "{timeouts: {idle: 1s}, limits: {fields: 10, line: 1Ki, connections: 10}}"
        )
        async with sidecar_process(*arguments, **environ) as process:
            await process.started()
            reader, writer = await w.client(process.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await http.read_answer(reader)).status == 200
            assert await reader.read() == b""  # idle for a second
            fields = {f"X-{i}": "1" for i in range(11)}
            assert (await w.ask(process.port, headers=fields)).status == 431
            assert (await w.ask(process.port, path="/" + "x" * 1024)).status == 414
            while "coalmine_client_connections 0\n" not in await page(w, process):
                pass
            clients = [await w.client(process.port) for _ in range(10)]
            with contextlib.suppress(ConnectionError):
                assert await (await w.client(process.port))[0].read() == b""
            shown = await page(w, process)
            assert "coalmine_clients_refused_total 1\n" in shown
            assert "coalmine_client_connections 10\n" in shown
            for _, writer in clients:
                writer.close()

    in_world(test)


@pytest.mark.parametrize(
    ("trust", "expected"),
    [
        (None, "9.9.9.9, 127.0.0.1"),
        ("all", "9.9.9.9, 127.0.0.1"),
        (["127.0.0.0/8"], "9.9.9.9, 127.0.0.1"),
        (["10.0.0.0/8"], "127.0.0.1"),
        ("none", "127.0.0.1"),
    ],
)
def test_whose_word_about_earlier_hops_is_believed(in_world: Any, trust: Any, expected: str) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        settings = {} if trust is None else {"settings": {"forwarded": {"trust": trust}}}
        async with sidecar_process(*static(w, app, **settings)) as process:
            await process.started()
            await w.ask(process.port, headers={"X-Forwarded-For": "9.9.9.9"})
            assert app.seen[0].get("x-forwarded-for") == expected

    in_world(test)


@pytest.mark.parametrize("workers", [1, 2])
def test_istios_metrics_with_its_labels(in_world: Any, workers: int) -> None:
    async def test(w: Any) -> None:
        stable, canary = await w.app("stable"), await w.app("c")
        arguments = static(
            w,
            stable,
            canary=[f"{HOST}:{canary.port}"],
            weight=50,
            settings={"metrics": {"istio": True}, "workers": workers},
        )
        environ = {"COALMINE_WORKLOAD": "color", "COALMINE_NAMESPACE": "shop", "COALMINE_VERSION": "v1"}
        async with sidecar_process(*arguments, **environ) as process:
            await process.started()
            for _ in range(20):
                await w.ask(process.port, "POST", body=b"12345")
            shown = await page(w, process)
            labels = (
                'reporter="destination",request_protocol="http",destination_workload="color"'
                ',destination_workload_namespace="shop",destination_version="canary"'
            )
            count = len(canary.seen)
            assert f'istio_requests_total{{{labels},response_code="200",response_flags="-"}} {count}\n' in shown
            assert f"istio_request_bytes_sum{{{labels}}} {5 * count}\n" in shown
            assert f"istio_response_bytes_sum{{{labels}}} {count}\n" in shown
            assert f"coalmine_workers {workers}\n" in shown

    in_world(test)


def test_istios_metrics_are_off_unless_asked_for_and_name_this_pods_version(in_world: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        for asked in (False, True):
            arguments, environ = in_pod(app, f"{{metrics: {{istio: {str(asked).lower()}}}}}")
            environ |= {"COALMINE_WORKLOAD": "color", "COALMINE_NAMESPACE": "shop", "COALMINE_VERSION": "5f4c"}
            async with sidecar_process(*arguments, **environ) as process:
                await process.started()
                await w.ask(process.port)
                shown = await page(w, process)
                assert ("istio_" in shown) is asked
                assert ('destination_version="5f4c"' in shown) is asked

    in_world(test)


def test_requests_are_logged_as_often_as_asked_and_without_their_secrets(in_world: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        for sample, expected in ((100, 5), (0, 0)):
            arguments = static(w, app, settings={"logs": {"sample": sample}})
            async with sidecar_process(*arguments) as process:
                await process.started()
                for _ in range(5):
                    await w.ask(process.port, path="/p?secret=1", headers={"Authorization": "secret"})
                # a line that comes after them
                await w.ask(process.admin_port, "POST", "/drain")
                await process.logged("drain begins")
                lines = [line for line in process.lines if line["event"] == "request"]
                assert [(line["path"], line["status"], line["arm"]) for line in lines] == [
                    ("/p", 200, "stable")
                ] * expected
                assert "secret" not in process.text

    in_world(test)


@pytest.mark.parametrize("said", ["file", "argument"])
def test_what_is_not_http_is_split_by_connections(in_world: Any, said: str) -> None:
    async def speak_first(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        writer.write(b"220 ready\r\n")
        return False

    async def test(w: Any) -> None:
        app = await w.app("a", speak_first)
        arguments = static(w, app, **({"protocol": "tcp"} if said == "file" else {}))
        arguments += ["--protocol", "tcp"] if said == "argument" else []
        async with sidecar_process(*arguments) as process:
            await process.started()
            # no HTTP, but a head as the application's reader wants one
            assert await w.raw(process.port, b"EHLO\nx\r\n\r\n") == b"220 ready\r\n"
            shown = await page(w, process)
            assert 'coalmine_connections_total{arm="stable",protocol="tcp"} 1\n' in shown

    in_world(test)


WRONG: dict[str, tuple[Any, str]] = {
    "a timeout of nothing": ({"timeouts": {"idle": 0}}, "timeouts.idle"),
    "a limit beyond": ({"limits": {"head": "1Gi"}}, "limits.head"),
    "no network": ({"forwarded": {"trust": ["everybody"]}}, "forwarded.trust[0]"),
    "a word for a flag": ({"metrics": {"istio": "on"}}, "metrics.istio"),
    "more than all": ({"logs": {"sample": 101}}, "logs.sample"),
    "no workers": ({"workers": 0}, "workers"),
    "a typing error": ({"timeout": {}}, "timeout"),
}


@pytest.mark.parametrize(("settings", "field"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_ends_it_with_a_sentence_that_names_the_field(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, settings: Any, field: str
) -> None:
    from coalmine_proxy.__main__ import main

    environ = {"COALMINE_POD_UID": "pod", "COALMINE_POD_IP": HOST}
    assert main(["--app-port", "1", "--settings", json.dumps(settings)], environ) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"coalmine proxy: --settings.{field}: ")
    file = tmp_path / "static.json"
    file.write_text(json.dumps({"stable": [], "settings": settings}))
    assert main(["--static", str(file)], {}) == 2
    assert capsys.readouterr().err == said.replace("--settings.", "settings.")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--settings", "{"], "--settings: is not JSON"),
        (["--settings", "[" * 100_000], "--settings: is not JSON"),
        (["--workers", "0"], "--workers: 0 is out of range; write a whole number from 1 to 64"),
        (["--static", "{file}", "--settings", "{}"], "--settings: is given beside --static"),
    ],
)
def test_arguments_that_are_wrong(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    from coalmine_proxy.__main__ import main

    file = tmp_path / "static.json"
    file.write_text('{"stable": []}')
    environ = {"COALMINE_POD_UID": "pod", "COALMINE_POD_IP": HOST}
    assert main(["--app-port", "1", *(a.replace("{file}", str(file)) for a in arguments)], environ) == 2
    assert sentence in capsys.readouterr().err
