"""The CUDA path on the GPU at hand, checked whole in one call of at most ten minutes.

    python benchmarks/cuda.py [--only NAME]... [--minutes M] [--results FOLDER]
    python benchmarks/cuda.py --dry-run

Each check (``--list`` names them) runs in a process of its own with a time limit, and its row is
written as soon as it ends, whatever became of the others. ``--dry-run`` runs the same plan on a
device of CPU tensors, small: it shows that the plan works, and no figure of it is a GPU's.
"""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

# from the clone, by its root: `cuda` is NVIDIA's package, which this folder would hide
ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [
    str(ROOT),
    *(entry for entry in sys.path if Path(entry).resolve() != ROOT / "benchmarks"),
]

from benchmarks.cuda_suite.plan import CHECKS, Report, run_checks  # noqa: E402

DEVICE, DRY = "cuda", "host"
MINUTES = 10.0


def main() -> int:
    options = parsed(sys.argv[1:])
    if options.list:
        sys.stdout.writelines(f"{check.name:<10} {check.bar}\n" for check in CHECKS)
        return 0
    place = DRY if options.dry_run else DEVICE
    if place == DEVICE and (missing := no_device()):
        sys.stderr.write(f"benchmarks/cuda.py: {missing}; --dry-run runs the plan without one\n")
        return 2
    checks = [check for check in CHECKS if not options.only or check.name in options.only]
    day = datetime.now(UTC).date().isoformat()
    command = " ".join(["python benchmarks/cuda.py", *sys.argv[1:]])
    report = Report(options.results, f"{day}-cuda{'-dry-run' * options.dry_run}", command, place)
    run_checks(checks, place, 60 * options.minutes, report)
    sys.stdout.write(report.page())
    return 0 if report.passed else 1


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/cuda.py", description="Check the CUDA path.")
    parser.add_argument("--dry-run", action="store_true", help="on a device of CPU tensors, small")
    parser.add_argument("--list", action="store_true", help="the checks and their bars")
    names = [check.name for check in CHECKS]
    parser.add_argument("--only", action="append", choices=names, help="this check alone")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for all of them together")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args(arguments)


def no_device() -> str:
    """Why there is no CUDA device here; empty where there is one."""
    import torch

    if torch.cuda.is_available():
        return ""
    return "there is no CUDA device here, or no driver for it, or torch is built without CUDA"


if __name__ == "__main__":
    sys.exit(main())
