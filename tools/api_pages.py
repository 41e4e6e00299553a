"""Writes pages of every public name, from docstrings: ``python tools/api_pages.py FOLDER``."""

import inspect
import re
import sys
from pathlib import Path
from typing import Any, get_overloads

import pdoc
import pdoc.doc

import streamsr

MADE_BY_STREAMSR = (
    streamsr.OpenedPipeline,
    streamsr.Registration,
    streamsr.Upscaled,
    streamsr.UpscaledAsync,
)
"""Whose constructors are none of a program's."""
INNER = {
    "Engine": {"check", "closing", "engines", "load", "process"},
    "Registration": {"plugin"},
    "Upscaler": {"entry"},
}
"""What is for modules of ours, by class."""


def main() -> None:
    """Writes them into the folder that is named."""
    for name in streamsr.__all__:  # pdoc looks into the module, where they come when they are used
        setattr(streamsr, name, getattr(streamsr, name))
    for made in MADE_BY_STREAMSR:
        made.__init__.__doc__ = "@private"
    streamsr.Upscaler.__call__.__doc__ = f"{streamsr.Upscaler.__call__.__doc__}\n\n@public"
    for function in vars(streamsr.Upscaler).values():
        _show_overloads(function)
    pdoc.doc.Class.own_members = property(_members)
    pdoc.render.configure(docformat="restructuredtext", show_source=False, search=False)
    pdoc.pdoc("streamsr", r"!streamsr\.", output_directory=Path(sys.argv[1]))


def _show_overloads(function: Any) -> None:
    """Has the page of a function say what a type checker knows: pdoc shows what implements it."""
    ways = get_overloads(function) if inspect.isfunction(function) else []
    if not ways:
        return
    signatures = [inspect.signature(way) for way in ways]
    function.__signature__ = signatures[0]
    shown = [f"``{function.__name__}{_written(one)}``" for one in signatures]
    function.__doc__ = f"{inspect.getdoc(function)}\n\n{'; '.join(shown)}"


def _written(signature: inspect.Signature) -> str:
    """A signature without the modules of what it names."""
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z~])|~", "", str(signature))


def _members(named: pdoc.doc.Class) -> list[Any]:
    """Those of a class and of ours that it derives from: their own pages are not written."""
    inner = INNER.get(named.name, ())
    return [
        member
        for member in named.members.values()
        if member.taken_from[0].partition(".")[0] == "streamsr" and member.name not in inner
    ]


if __name__ == "__main__":
    main()
