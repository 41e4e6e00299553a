"""Runs commands one after another in a process that is fresh, and says which modules each needs.

Reads a JSON list of argument lists from stdin; prints a JSON line for each.
"""

import json
import sys

from typer.testing import CliRunner

from streamsr.cli.main import app

HEAVY = {"torch", "numpy", "av", "cv2", "aiortc"}

for args in json.load(sys.stdin):
    done = CliRunner().invoke(app, args)
    outcome = {
        "code": done.exit_code,
        "stdout": done.stdout,
        "stderr": done.stderr,
        "modules": sorted(HEAVY & sys.modules.keys()),
    }
    sys.stdout.write(json.dumps(outcome) + "\n")
