"""Who joins a cluster and cannot is told why at once, in one line."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

ray = pytest.importorskip("ray")
grpc = pytest.importorskip("grpc")

from ray.core.generated import (  # noqa: E402
    gcs_service_pb2,
    gcs_service_pb2_grpc,
    ray_client_pb2,
    ray_client_pb2_grpc,
)

from streamsr.core.errors import UserError  # noqa: E402
from streamsr.fleet.cluster import client, private  # noqa: E402
from streamsr.fleet.cluster.client import joined  # noqa: E402

SCHEMES = ["", "ray://"]


class Answering:
    """Ray's control service, and the server of its client, as far as they are asked."""

    def __init__(self, version: str, code: Any = None) -> None:
        self._version = version
        self._code = code

    def CheckAlive(self, _request: object, context: Any) -> Any:  # noqa: N802
        self._refuse(context)
        return gcs_service_pb2.CheckAliveReply(ray_version=self._version)

    def ClusterInfo(self, _request: object, context: Any) -> Any:  # noqa: N802
        self._refuse(context)
        return ray_client_pb2.ClusterInfoResponse(json="{}")

    def __getattr__(self, name: str) -> Any:
        return None  # what is not asked

    def _refuse(self, context: Any) -> None:
        if self._code is not None:
            context.abort(self._code, "the token is another\nof two lines")


@contextmanager
def answering(version: str, code: Any = None) -> Iterator[str]:
    """Its HOST:PORT."""
    server = grpc.server(ThreadPoolExecutor(2))
    answers = Answering(version, code)
    gcs_service_pb2_grpc.add_NodeInfoGcsServiceServicer_to_server(answers, server)
    ray_client_pb2_grpc.add_RayletDriverServicer_to_server(answers, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


@pytest.fixture(autouse=True)
def no_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr(private, "ANSWER_S", 2.0)
    monkeypatch.setattr(private, "name_what_runs", lambda name: None)
    monkeypatch.setattr(client, "_init", lambda address: None)


def refusal(address: str) -> str:
    began = time.monotonic()
    with pytest.raises(UserError) as refused, joined(address):
        pass
    assert time.monotonic() - began < 10
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_another_token_is_refused(scheme: str) -> None:
    with answering(ray.__version__, grpc.StatusCode.UNAUTHENTICATED) as place:
        assert "no token for this cluster, or another one" in refusal(f"{scheme}{place}")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_no_ray_is_said(scheme: str) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        place = f"{scheme}127.0.0.1:{server.server_port}"
        assert f"no Ray cluster answers at {place!r}" in refusal(place)
    finally:
        server.shutdown()
        server.server_close()


def test_another_version_of_ray_is_said() -> None:
    with answering("2.99.1") as place:
        said = refusal(place)
    assert f"runs Ray 2.99.1, this machine has {ray.__version__}" in said
    assert "pip install ray==2.99.1" in said


@pytest.mark.parametrize("scheme", SCHEMES)
def test_one_that_answers_as_it_should_is_joined(scheme: str) -> None:
    with answering(ray.__version__) as place, joined(f"{scheme}{place}"):
        pass


@pytest.mark.parametrize("scheme", SCHEMES)
def test_one_that_does_not_answer_in_time_is_left_to_ray(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"{scheme}127.0.0.1:{silent.getsockname()[1]}"
        with joined(place):
            pass


@pytest.mark.parametrize("name", ["REQUESTS", "SERVICES", "CLIENT_REQUESTS", "CLIENT_SERVICES"])
def test_a_version_of_ray_that_is_asked_otherwise_is_joined(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(private, name, "ray.moved")
    with answering(ray.__version__) as place:
        for scheme in SCHEMES:
            with joined(f"{scheme}{place}"):
                pass


def test_a_version_that_rays_client_refuses_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries = []

    def init(**_: object) -> None:
        tries.append(1)
        raise RuntimeError("Version mismatch:\n  Ray: 2.61.0\n  Python: 3.10.2")

    monkeypatch.undo()
    monkeypatch.setattr(client.ray, "init", init)
    monkeypatch.setattr(client, "place_of", lambda address: None)
    monkeypatch.setattr(private, "name_what_runs", lambda name: None)
    assert "Version mismatch: Ray: 2.61.0 Python: 3.10.2" in refusal("ray://192.0.2.1:10001")
    assert tries == [1]
