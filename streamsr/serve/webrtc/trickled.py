"""The candidates that are trickled to one session (RFC 8838), of a viewer or a publisher."""

from collections.abc import Sequence

from aiortc import RTCIceCandidate

from streamsr.serve.webrtc.sdp import Fragment

__all__ = ["TrickledCandidates", "UnsupportedRestartError"]

MOST = 60  # in one session: each makes us send checks to where it points


class UnsupportedRestartError(ValueError):
    """ICE is to be restarted, which is not done here: a new session can be begun."""


class TrickledCandidates:
    """Counts what came since the offer."""

    def __init__(self, ufrag: str | None) -> None:
        """``ufrag``: the one of the offer."""
        self._ufrag = ufrag
        self._count = 0

    def take(self, fragment: Fragment) -> Sequence[RTCIceCandidate]:
        """Returns those of a fragment that are still taken. Raises UnsupportedRestartError."""
        if fragment.ufrag not in (None, self._ufrag):
            raise UnsupportedRestartError("ICE restarts are not supported: send a new offer")
        taken = fragment.candidates[: MOST - self._count]
        self._count += len(taken)
        return taken
