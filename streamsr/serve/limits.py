"""What one client may cost: how many there are, how long they may take, how often they may ask."""

from dataclasses import dataclass

__all__ = ["ServerLimits"]


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """The limits of a server. Times are in seconds."""

    viewers: int = 8  # over all streams
    connect_s: float = 12.0  # from a WHEP answer to a connection
    # From the last byte that a viewer sent. It owes a report every 5 s at the latest, 7.5 s when
    # randomised, even when it receives nothing (RFC 3550, 6.2 and 6.3.1).
    silent_s: float = 15.0
    idle_s: float = 10.0  # a connection without a whole request is closed
    body_s: float = 10.0  # for a request's body to arrive
    linger_s: float = 2.0  # the rest of a refused body is read, so that the refusal arrives
    snapshot_s: float = 1.0  # age up to which one snapshot is for everyone: each costs a keyframe

    # Eight pages that play HLS and show sixteen cameras ask for about 60 things a second. Behind a
    # proxy all viewers have its address, which is this machine's as a rule.
    per_s: float = 50.0  # requests of one client in the long run ...
    burst: int = 200  # ... and at once
    local_per_s: float = 200.0  # of one on this machine
    local_burst: int = 1000
    wrong_tokens: int = 10  # of one client ...
    wrong_tokens_s: float = 60.0  # ... within any time of this length
