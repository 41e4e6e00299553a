"""What [webrtc] may say."""

import pytest

from streamsr.core.config import parse
from streamsr.core.errors import ConfigError
from streamsr.core.settings import WebRtcSettings


def test_ports_are_a_range_of_both_ends() -> None:
    assert list(WebRtcSettings(udp_ports="50000-50002").ports) == [50000, 50001, 50002]
    assert list(WebRtcSettings(udp_ports="50000").ports) == [50000]
    assert list(WebRtcSettings().ports) == [0]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"udp_ports": "50019-50000"}, "FIRST-LAST"),
        ({"udp_ports": "0-70000"}, "FIRST-LAST"),
        ({"udp_ports": "any"}, "FIRST-LAST"),
        ({"announce": ["gate.example"]}, "IP addresses"),
        ({"ice_servers": [{"urls": []}]}, "urls"),
        ({"ice_servers": [{"urls": ["http://a"]}]}, "stun:HOST"),
        ({"ice_servers": [{"urls": ["turn:a:3478"]}]}, "username and credential_file"),
        ({"ice_servers": [{"urls": ["turn:a"], "credential": "secret"}]}, "credential_file"),
    ],
)
def test_what_is_not_allowed_is_said(data: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(data, WebRtcSettings, "here")
