"""The recording script of docs/record: waits are taken out, and the picture needs nothing else and says the same."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

RECORD = Path(__file__).parents[3] / "docs" / "record"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(RECORD))
    return importlib.import_module


def texts(svg: str) -> set[str]:
    return {text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")}  # noqa: S314 - our own


def test_waits_are_cut(record: Any) -> None:
    cast = record("cast")
    long = cast.Cast(10, 2, ((0.5, "a"), (9.5, "b"), (10.5, "c")))
    assert cast.shortened(long, 1.0, 2.0).events == ((0.25, "a"), (0.75, "b"), (1.25, "c"))


def test_asciicast_there_and_back(record: Any) -> None:
    cast = record("cast")
    one = cast.Cast(10, 2, ((0.5, "a\x1b[1m"), (1.5, "✔\r\n")))
    assert cast.from_json(cast.to_json(one)) == one


def test_screens(record: Any) -> None:
    cast, film = record("cast"), record("film")
    shots = film.film(cast.Cast(20, 2, ((0.0, "one"), (0.1, " two"), (1.0, ""), (2.0, "\r\n\x1b[31mred\x1b[m and"))), 2)
    assert [shot.at for shot in shots] == [0.0, 2.0]
    assert [[run.text.strip() for run in row] for row in shots[1].screen] == [["one two"], ["red", "and"]]
    assert shots[1].screen[1][0].colour == "red"


def test_picture(record: Any) -> None:
    film, svg, cast = record("film"), record("svg"), record("cast")
    session = cast.Cast(
        30, 3, ((0.0, "├──✔ <a> & b\r\n"), (1.0, "\x1b[31m●●\x1b[94m■\x1b[32;44m▄▄\x1b[m"), (2.0, "\r\n◆▲"))
    )
    text = svg.animated(film.film(session, 2), 4.0, 1, "a & b")
    assert texts(text) == {"<a> & b", "a & b"}
    assert not re.search(r'(href|src)="(?!#)|url\(|@import', text), "nothing from elsewhere"
    assert "<script" not in text
    steps = re.findall(r"([\d.]+)%\{transform:translateY\(-(\d+)px\)", text)
    assert [float(share) for share, _ in steps] == [0.0, 25.0, 50.0]
    uses = {use.get("href", "")[1:] for use in ElementTree.fromstring(text).iter(f"{SVG}use")}  # noqa: S314
    defined = [group.get("id") for group in ElementTree.fromstring(text).iter(f"{SVG}g") if group.get("id")]  # noqa: S314
    assert uses == set(defined)
    assert len(defined) == len(set(defined))
    assert texts(svg.still(film.film(session, 2)[0].screen, "t")) == {"<a> & b", "t"}


def test_the_whole_way(tmp_path: Path) -> None:
    out, still, saved = tmp_path / "out.svg", tmp_path / "still.svg", tmp_path / "out.cast"
    program = "import sys; print('hello', sys.stdout.isatty())"
    command = [sys.executable, str(RECORD), str(out), "--still", str(still), "--save", str(saved), "--size", "40x5"]
    done = subprocess.run([*command, "--", sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "hello True" in texts(out.read_text())
    assert "hello True" in texts(still.read_text())
    again = subprocess.run([*command[:3], "--cast", str(saved)], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr


def test_a_program_that_fails_makes_no_picture(tmp_path: Path) -> None:
    out = tmp_path / "out.svg"
    program = "print('no luck'); raise SystemExit(3)"
    command = [sys.executable, str(RECORD), str(out), "--", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "exited with 3" in done.stderr
    assert "no luck" in done.stderr
    assert not out.exists()
