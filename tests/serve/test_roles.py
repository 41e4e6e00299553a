"""Who may change something."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from streamsr.serve.access.roles import ROLE, Role, require_control


@pytest.mark.parametrize(("role", "let_in"), [("control", True), ("view", False)])
def test_changing_something_takes_the_role_control(role: Role, let_in: bool) -> None:
    request = make_mocked_request("DELETE", "/api/v1/cameras/gate")
    request[ROLE] = role
    if let_in:
        require_control(request)
        return
    with pytest.raises(web.HTTPForbidden) as refused:
        require_control(request)
    assert refused.value.text is not None
    assert "role control" in refused.value.text
