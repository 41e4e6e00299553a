"""Publishing to a stream over WebRTC (WHIP, RFC 9725): a browser or OBS as a camera."""
