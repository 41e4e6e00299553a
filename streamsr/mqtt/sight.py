"""What is seen of the node. A look that fails changes nothing, and is said once."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from streamsr.mqtt.node_api import CameraState, NodeApi

__all__ = ["NodeSnapshot"]

T = TypeVar("T")


class NodeSnapshot:
    """The node's cameras and models as they were seen last."""

    def __init__(self, target: NodeApi, failed: Callable[[str], None]) -> None:
        """``failed`` is told why a look failed, once for each reason in a row."""
        self.cameras: Mapping[str, CameraState] = {}
        self.models: tuple[str, ...] = ()
        self._target = target
        self._failed = failed
        self._said: dict[str, str] = {}  # what was looked for, and why that failed last

    def look(self) -> None:
        """See what there is now."""
        self.cameras = self._seen("cameras", self._target.cameras, self.cameras)
        self.models = self._seen("models", lambda: tuple(self._target.models()), self.models)

    def _seen(self, what: str, look: Callable[[], T], last: T) -> T:
        try:
            seen = look()
        except Exception as error:
            # One damaged file in the node's folders must not take control of all cameras away.
            reason = f"{what} cannot be listed, the last list is kept: {error or repr(error)}"
            if self._said.get(what) != reason:
                self._said[what] = reason
                self._failed(reason)
            return last
        self._said.pop(what, None)
        return seen
