"""The pages of every public name: they are made without a warning, of docstrings that are there."""

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamsr

ROOT = Path(__file__).parents[2]
VALUES = {"__version__", "Sink"}  # which have no docstring of their own


def undocumented(name: str) -> Iterator[str]:
    """What of a public name nothing is said of: itself, its public methods and properties."""
    found = getattr(streamsr, name)
    if name in VALUES:
        return
    if not inspect.getdoc(found):
        yield name
    for base in inspect.getmro(found) if inspect.isclass(found) else ():
        if not base.__module__.startswith("streamsr"):
            continue
        for member, value in vars(base).items():
            function = value.fget if isinstance(value, property) else value
            function = getattr(function, "__func__", function)
            public = not member.startswith("_") and inspect.isfunction(function)
            if public and not inspect.getdoc(getattr(found, member)):
                yield f"{name}.{member}"


@pytest.mark.parametrize("name", streamsr.__all__)
def test_a_public_name_says_what_it_is(name: str) -> None:
    assert list(undocumented(name)) == []


@pytest.mark.timeout(200)
def test_pages_are_made_of_every_name_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "tools" / "api_pages.py"), str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "streamsr.html").read_text("utf-8")
    assert set(re.findall(r'<section id="(\w+)"', page)) == set(streamsr.__all__)
    assert 'id="OpenedPipeline.events"' in page
    assert "each change once" in page
    for shown in ("Engine.__init__", "Engine.workers", "Engine.close", "Upscaler.__call__"):
        assert f'id="{shown}"' in page
    for inherited in ("PipelineSettings.input", "StreamStatus.frames_out"):
        assert f'id="{inherited}"' in page
    for inner in ("OpenedPipeline.__init__", "Upscaled.__init__", "Engine.load", "Upscaler.entry"):
        assert f'id="{inner}"' not in page
    assert "(b, c, scale·h, scale·w) of (b, window, c, h, w)" in page
    assert "map(self, images: AsyncIterable[Item]) -&gt; UpscaledAsync[Item]" in page
