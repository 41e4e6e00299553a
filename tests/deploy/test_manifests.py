"""What deploy/ says to systemd, Docker and Kubernetes is what they understand."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from streamsr.core.config import load
from streamsr.core.settings import NodeSettings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
UNIT = DEPLOY / "streamsr.service"
EXPOSURE = 1.2  # of the unit, as systemd-analyze scores it: from 0, the best, to 10

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="apt install systemd"
)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def documents() -> Iterator[Any]:
    for file in sorted(KUBERNETES.glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            yield pytest.param(document, id=f"{file.stem}-{document['kind']}")


def test_compose_reads_its_file() -> None:
    tool = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = run(*tool, DEPLOY / "compose.yaml")
    assert checked.returncode == 0, checked.stdout
    broken = run(*tool, KUBERNETES / "service.yaml")
    assert broken.returncode != 0


@pytest.mark.parametrize("document", [*documents()])
@pytest.mark.parametrize("version", ["1.29", "1.34"])
def test_kubernetes_reads_its_manifests(document: dict[str, Any], version: str) -> None:
    if document["kind"] != "Kustomization":
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", ["1.29", "1.34"])
def test_kubernetes_reads_what_kuberay_is_to_make(version: str) -> None:
    """Nothing here knows KubeRay's own kind: the pods that it is made of are checked."""
    for document in yaml.safe_load_all((DEPLOY / "kuberay" / "fleet.yaml").read_text()):
        if document["kind"] != "RayCluster":
            kubernetes_validate.validate(document, version, strict=True)
            continue
        spec = document["spec"]
        assert spec["rayVersion"] in (ROOT / "constraints.txt").read_text()
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}}
            template = group["template"]
            pod |= {"metadata": {"name": "pod", **template["metadata"]}, "spec": template["spec"]}
            kubernetes_validate.validate(pod, version, strict=True)
            (container,) = pod["spec"]["containers"]
            assert {"name": "RAY_AUTH_MODE", "value": "token"} in container["env"]
            port = int(group["rayStartParams"]["node-manager-port"])
            assert container["livenessProbe"]["tcpSocket"]["port"] == port


def test_kustomize_finds_what_it_names() -> None:
    said = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    generated = [file for made in said["configMapGenerator"] for file in made["files"]]
    named = {*said["resources"], *generated, "kustomization.yaml"}
    assert named == {path.name for path in KUBERNETES.iterdir()}


def test_a_pod_is_as_restricted_as_the_namespace_demands() -> None:
    pod = yaml.safe_load((KUBERNETES / "deployment.yaml").read_text())["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("file", [DEPLOY / "node.toml", KUBERNETES / "node.toml"])
def test_nodes_are_as_shown(file: Path, tmp_path: Path) -> None:
    camera = tmp_path / "camera"
    camera.write_text("rtsp://me:canary@camera.lan/live\n")
    written = tmp_path / "node.toml"
    written.write_text(re.sub(r'"@/[^"]*"', f'"@{camera}"', file.read_text()))
    settings = load(written, NodeSettings)
    assert settings.streams[0].input.url == camera.read_text().strip()
    assert settings.serve is not None
    assert settings.serve.listen == "0.0.0.0:8443"


def test_what_a_reload_reads_is_in_folders_that_are_mounted() -> None:
    """A file that is mounted by itself, or copied at the start, stays as it was."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    node = compose["services"]["streamsr"]
    assert "secrets" not in node
    binds = [volume for volume in node["volumes"] if isinstance(volume, dict)]
    assert [(bind["source"], bind["target"]) for bind in binds] == [("./etc", "/etc/streamsr")]
    assert "LoadCredential=" not in re.sub("(?m)^#.*", "", UNIT.read_text())
    deployment = yaml.safe_load((KUBERNETES / "deployment.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert not any("subPath" in mount for mount in container["volumeMounts"])
    for file, folders in [(DEPLOY, ["/etc/streamsr"]), (KUBERNETES, mounts)]:
        named = re.findall(r'"@?(/\S*secrets/\S*)"', (file / "node.toml").read_text())
        assert len(named) >= 2
        assert all(any(path.startswith(f"{folder}/") for folder in folders) for path in named)


def test_the_secrets_folder_of_the_docs_is_that_of_the_unit() -> None:
    (group,) = re.findall(r"(?m)^SupplementaryGroups=(\S+)$", UNIT.read_text())
    said = (ROOT / "docs" / "deploy.md").read_text()
    assert f"groupadd --system {group}\n" in said
    assert f"-g {group} /etc/streamsr/secrets" in said
    assert "install -D -m 0644 deploy/node.toml /etc/streamsr/node.toml" in said


def test_an_image_is_built_in_the_format_that_has_health_checks() -> None:
    for file in (ROOT / "docs" / "deploy.md", DEPLOY / "Containerfile"):
        builds = re.findall(r"(?m)^\W*(?:podman build|buildah bud) .*", file.read_text())
        assert builds
        assert all("--format docker" in build for build in builds)


def test_a_pod_is_ready_while_its_page_answers() -> None:
    pod = yaml.safe_load((KUBERNETES / "deployment.yaml").read_text())["spec"]["template"]["spec"]
    asked = pod["containers"][0]["readinessProbe"]["httpGet"]
    assert asked == {"path": "/livez", "port": "http"}, "the one path that takes no token"


@needs_systemd
def test_systemd_reads_its_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(
        re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={shutil.which('true')}", UNIT.read_text())
    )
    verified = run("systemd-analyze", "verify", unit)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    scored = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    exposure = re.search(r"exposure level for streamsr.service: (\d+\.\d+) (\w+)", scored.stdout)
    assert exposure is not None
    assert (float(exposure[1]), exposure[2]) == (EXPOSURE, "OK")
    assert f"{EXPOSURE} (OK)" in (ROOT / "docs" / "deploy.md").read_text()


class _Livez(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 404)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.mark.parametrize(("path", "code"), [("livez", 0), ("readyz", 1), (None, 1)])
def test_the_health_check_tells_what_livez_answers(path: str | None, code: int) -> None:
    with HTTPServer(("127.0.0.1", 0), _Livez) as server:
        port = server.server_port if path else 1
        threading.Thread(target=server.handle_request, name="livez", daemon=True).start()
        checked = subprocess.run(
            [sys.executable, DEPLOY / "healthcheck.py"],
            check=False,
            timeout=30,
            env=os.environ | {"STREAMSR_LIVEZ": f"http://127.0.0.1:{port}/{path}"},
        )
    assert checked.returncode == code
