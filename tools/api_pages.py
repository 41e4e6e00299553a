"""Writes pages of every public name, from docstrings: ``python tools/api_pages.py FOLDER``."""

import sys
from pathlib import Path

import pdoc

import streamsr


def main() -> None:
    """Writes them into the folder that is named."""
    for name in streamsr.__all__:  # pdoc looks into the module, where they come when they are used
        setattr(streamsr, name, getattr(streamsr, name))
    pdoc.render.configure(docformat="restructuredtext", show_source=False, search=False)
    pdoc.pdoc("streamsr", r"!streamsr\.", output_directory=Path(sys.argv[1]))


if __name__ == "__main__":
    main()
