"""The last snapshot of a node's state, for MQTT. Knows neither broker nor topic."""

from collections.abc import Callable, Mapping

from streamsr.control.node_api import CameraState, NodeApi

__all__ = ["NodeSnapshot"]


class NodeSnapshot:
    """The node's cameras and models at the last refresh; what cannot be read stays as it was."""

    def __init__(self, node: NodeApi, failed: Callable[[str], None]) -> None:
        """``failed`` is told why the node cannot be read, once for each reason in a row, and ""
        once it can be read again."""
        self.cameras: Mapping[str, CameraState] = {}
        self.models: tuple[str, ...] = ()
        self.jpegs: dict[str, bytes] = {}  # the newest frame of each camera, once one was taken
        self._node = node
        self._failed = failed
        self._reason = ""  # why it could not be read last

    def refresh(self) -> None:
        """Reads the node's state."""
        try:
            self.cameras = self._node.cameras()
            self.jpegs = {name: jpeg for name, jpeg in self.jpegs.items() if name in self.cameras}
            self.models = tuple(self._node.models())
        except Exception as error:
            # one damaged file in the node's folders must not make every camera unavailable
            reason = f"the node cannot be read, its last state is kept: {str(error) or repr(error)}"
            if reason != self._reason:
                self._reason = reason
                self._failed(reason)
        else:
            if self._reason:
                self._reason = ""
                self._failed("")
