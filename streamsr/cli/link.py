"""``link``: an address with a token in it, by which whoever has it may watch until it expires."""

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from streamsr.cli.terminal import print_result, say
from streamsr.core.config import load
from streamsr.core.errors import UserError
from streamsr.core.settings import NodeSettings, PipelineSettings, ServeSettings

__all__ = ["link"]

LONGEST_H = 366 * 24.0


def link(
    config: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file of the pipeline or node that serves.")
    ],
    path: Annotated[
        str,
        typer.Argument(metavar="PATH", help="As in /hls/NAME/index.m3u8 or /snapshot/NAME.jpg."),
    ],
    hours: Annotated[
        float, typer.Option(min=0.01, max=LONGEST_H, help="For which it is good.")
    ] = 24.0,
    at: Annotated[
        str | None,
        typer.Option(help="The server's address as viewers have it; else its own, by FILE."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a link that expires: to one camera's HLS, snapshot, live video or recordings."""
    settings = _serve_settings(config)
    from streamsr.serve.access.links import PARAMETER, WATCHED, signed, watchable
    from streamsr.serve.access.tokens import read_tokens

    part = watchable(path)
    if part is None:
        raise UserError(f"PATH: got {path!r}, allowed are {', '.join(WATCHED)}, and below")
    control = next((t for t in read_tokens(settings) if t.role == "control"), None)
    if control is None:
        raise UserError(
            f"{config}: it has no token of the role control, of which links are made: set "
            "serve.token_file, or STREAMSR_TOKEN in the environment"
        )
    expires = datetime.now(UTC) + timedelta(hours=hours)
    token = signed(control, part, expires.timestamp())
    scheme = "http" if settings.tls_certificate is None else "https"
    root = (at or f"{scheme}://{settings.listen}{settings.base_path}").rstrip("/")
    address = f"{root}{path}?{PARAMETER}={token}"
    if as_json:
        moment = expires.isoformat(timespec="seconds").replace("+00:00", "Z")
        print_result({"address": address, "expires": moment}, None, as_json)
        return
    typer.echo(address)
    say(f"It is good until {expires:%Y-%m-%d %H:%M} UTC, for {part} and what is below.")


def _serve_settings(config: Path) -> ServeSettings:
    """The group of a file of either kind. Raises ConfigError, UserError."""
    node = _is_node(config)
    serve = load(config, NodeSettings).serve if node else load(config, PipelineSettings).serve
    if serve is None:
        raise UserError(f"{config}: it has no [serve], which links lead to")
    return serve


def _is_node(config: Path) -> bool:
    try:
        return "streams" in tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False  # load() says what is wrong with it
