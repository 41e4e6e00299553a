"""One check in a process of its own: ``python -m benchmarks.cuda_suite.child WORK PLACE FILE``."""

import importlib
import json
import sys
from pathlib import Path

from benchmarks.cuda_suite.places import PLACES


def main() -> None:
    work, where, file = sys.argv[1:]
    module, function = work.split(":")
    place = PLACES[where]()
    outcome = getattr(importlib.import_module(module), function)(place)
    known = {
        "machine": place.machine,
        "verdict": outcome.verdict,
        "got": outcome.got,
        "figures": outcome.figures,
    }
    Path(file).write_text(json.dumps(known), encoding="utf-8")


if __name__ == "__main__":
    main()
