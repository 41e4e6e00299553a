"""What ``probe`` found, as tables for people."""

from datetime import timedelta
from typing import Any

from rich.table import Table
from rich.text import Text

from streamsr.cli.terminal import facts_table, size_text

__all__ = ["all_table", "findings_table"]


def findings_table(findings: dict[str, Any]) -> Table:
    """Returns the findings of ``describe`` for people."""
    frames = findings["frames"]
    length = f", {frames} frames" if frames else ""
    return facts_table(
        {
            "source": findings["input"] + (" (live)" if findings["live"] else ""),
            **({"read by": findings["plugin"]} if findings["plugin"] else {}),
            "video": f"{findings['codec']} {findings['pixel_format']}, {findings['size']}, "
            f"{findings['fps']:g} fps{length}",
            "pixel aspect": findings["sample_aspect"],
            "scan": findings["scan"] or "not looked at",
            "colour": findings["colour"],
            "audio": findings["audio"] or "none",
            "upscaled": f"to {findings['output']} by {findings['model']} on {findings['device']}, "
            f"{findings['lookahead']} frames of lookahead",
            "encoder": findings["encoder"] or "none: the result is images",
            "cost": _cost(findings["cpu_ms"], findings["all_s"], findings["all_bytes"]),
            "since": findings["why"],
            "falls back to": ", ".join(findings["fallback"]),
        }
    )


def all_table(findings: dict[str, Any]) -> Table:
    """Returns the findings of ``describe_all`` for people: a line each, and the sums."""
    table = Table("input", "video", "frames", "upscaled", "time", "size", box=None, pad_edge=False)
    for file in findings["files"]:
        if "error" in file:
            table.add_row(Text(file["input"]), Text(file["error"], "red"))
            continue
        upscaled = f"{file['output']} by {file['model']}"
        video, frames = f"{file['codec']} {file['size']}", str(file["frames"] or "")
        time, size = _about(file["all_s"]), _sized(file["all_bytes"])
        table.add_row(*map(Text, (file["input"], video, frames, upscaled, time, size)))
    time, size = _about(findings["all_s"]), _sized(findings["all_bytes"])
    table.add_row("all", "", str(findings["frames"]), "", time, size)
    return table


def _cost(cpu_ms: float, all_s: float | None, all_bytes: int | None) -> str:
    whole = f", all of it about {_about(all_s)}" if all_s else ""
    large = f" and {_sized(all_bytes)}" if whole and all_bytes else ""
    return f"{cpu_ms:.0f} CPU ms a frame here{whole}{large}"


def _about(seconds: float | None) -> str:
    return "" if seconds is None else str(timedelta(seconds=max(1, round(seconds))))


def _sized(count: int | None) -> str:
    return size_text(count) if count else ""
