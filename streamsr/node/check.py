"""What the user has to correct of a stream, found before it is started, and what it may name."""

import logging
from collections.abc import Iterable

from streamsr.core.errors import ConfigError
from streamsr.core.settings import NodeSettings, OutputSettings, ServeSettings, StreamSettings
from streamsr.outputs.target import check_output
from streamsr.pipeline.check import check_packets, check_settings
from streamsr.zoo.card import AUTO
from streamsr.zoo.registry import families, listing

__all__ = ["check_lasting", "check_stream", "models_of", "only_switched", "warn_of_unserved"]

log = logging.getLogger(__name__)


def check_stream(settings: StreamSettings, before: StreamSettings | None = None) -> None:
    """Raises what would stop a stream at once; what the one ``before`` it writes may be there."""
    checked = settings
    if before is not None and before.output.path == settings.output.path:
        checked = settings.model_copy(update={"output": OutputSettings()})
    check_settings(checked)
    check_packets(settings.encoder)
    for output in (*settings.publish, settings.hls, settings.record):
        if output is not None:
            check_output(output)


def check_lasting(before: NodeSettings, after: NodeSettings) -> None:
    """Raises ConfigError for other settings that a node cannot take while it runs."""
    for group in ("name", "serve", "mqtt", "webrtc"):
        old, new = getattr(before, group), getattr(after, group)
        if isinstance(old, ServeSettings) and isinstance(new, ServeSettings):
            old, new = old.lasting, new.lasting
        if old != new:
            raise ConfigError(f"{group}: it changed, which needs a new start of the node")


def warn_of_unserved(streams: Iterable[StreamSettings]) -> None:
    """Says which streams have HLS that nothing plays, as there is no [serve]."""
    for stream in streams:
        if stream.hls is not None and stream.hls.folder is None:
            log.warning(
                "stream %s: its [hls] has no folder, and there is no [serve] to play it from",
                stream.name,
            )


def only_switched(before: StreamSettings, after: StreamSettings) -> bool:
    """Whether a stream or its recording is switched on or off, and nothing else changes: that is
    possible whatever has become of its models and folders."""
    same = before.model_copy(update={"enabled": after.enabled})
    if before.record is not None and after.record is not None:
        record = before.record.model_copy(update={"enabled": after.record.enabled})
        same = same.model_copy(update={"record": record})
    return same == after


def models_of(settings: NodeSettings) -> list[str]:
    """What the command for models may name. Raises ModelError where a card is damaged."""
    folders = sorted({f for s in settings.streams for f in s.model.folders})
    return [AUTO, *sorted({*families(folders), *listing(folders)})]
