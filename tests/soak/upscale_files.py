"""A process that upscales one file after another by the command line, and says how each went.

Once it is ready it prints an empty line. For each line ``INPUT<tab>OUTPUT`` of stdin it prints one
of JSON: ``code``, the exit code; ``said``, the end of stderr; ``fault``, what is wrong: a
traceback, or an output that does not play.
"""

import faulthandler
import importlib
import json
import shutil
import sys
import traceback
from itertools import pairwise
from pathlib import Path

import av
from typer.testing import CliRunner

from streamsr.cli.main import app

__all__: list[str] = []

OPTIONS = ("--model", "bicubic", "--device", "cpu", "--scale", "2", "--overwrite", "--json")
STUCK_S = 18.0  # then it says where it is; it is killed at 20


def upscaled(source: str, target: str) -> dict[str, object]:
    done = CliRunner().invoke(app, ["upscale", source, target, *OPTIONS])
    fault = ""
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        fault = "".join(traceback.format_exception(done.exception))
    elif "Traceback" in done.stderr:
        fault = done.stderr
    elif done.exit_code not in (0, 1, 2):
        fault = f"exit code {done.exit_code}"
    elif done.exit_code == 0:
        fault = unplayable(Path(target))
    elif not done.stderr.strip():
        fault = "it says nothing"
    return {"code": done.exit_code, "said": done.stderr[-500:], "fault": fault}


def unplayable(path: Path) -> str:
    """Why a file does not play; nothing where it does."""
    try:
        with av.open(path) as container:
            decoded, stamps = 0, {}
            for packet in container.demux():
                if packet.dts is not None and packet.stream.type != "subtitle":
                    stamps.setdefault(packet.stream.index, []).append(packet.dts)
                decoded += packet.stream.type == "video" and len(packet.decode())
    except (av.FFmpegError, OSError) as error:
        return f"the output does not play: {error}"
    if any(b <= a for times in stamps.values() for a, b in pairwise(times)):
        return "the output's time stamps do not rise"
    return "" if decoded else "the output has no frame"


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


if __name__ == "__main__":
    av.logging.set_level(None)
    importlib.import_module("streamsr.pipeline.build")  # torch, which takes its time
    sys.stdout.write("\n")
    sys.stdout.flush()
    for line in sys.stdin:
        source, target = line.rstrip("\n").split("\t")
        faulthandler.dump_traceback_later(STUCK_S, file=sys.__stderr__)
        result = upscaled(source, target)
        faulthandler.cancel_dump_traceback_later()
        remove(Path(target))
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()
