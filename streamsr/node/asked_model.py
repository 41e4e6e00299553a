"""Which model the sessions of a stream begin with, where others are asked for meanwhile."""

from streamsr.core.settings import StreamSettings

__all__ = ["AskedModel"]


class AskedModel:
    """The model that was asked for last, until a session says that it cannot be loaded.

    A session answers each of its requests, in their order.
    """

    def __init__(self) -> None:
        self._in_use = ""
        self._open = 0  # requests without an answer

    def begin(self, settings: StreamSettings) -> None:
        """A session begins by these settings."""
        self._in_use, self._open = settings.model.name, 0

    def ask(self) -> None:
        """Another model was asked for of the session."""
        self._open += 1

    def answered(self, settings: StreamSettings, used: str | None) -> StreamSettings:
        """Returns the settings for later sessions; ``used``: the model that was asked for, None
        where it cannot be loaded."""
        self._open = max(0, self._open - 1)
        self._in_use = used or self._in_use
        if self._open:
            return settings
        model = settings.model.model_copy(update={"name": self._in_use})
        return settings.model_copy(update={"model": model})
