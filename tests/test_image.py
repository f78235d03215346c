"""The image and the Kubernetes example, as far as they can be held without an engine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from bridge.cli.app import group
from tests.cli.bridge_folder import PROGRAM, create_bridge_folder
from tests.docker_files import ROOT, environment, instructions, stages
from tests.locks import locked_versions
from tests.services.ports import free_ports
from tests.waiting import STOP_TIMEOUT_S, WAIT_TIMEOUT_S, wait_until

KUBERNETES = ROOT / "docker" / "kubernetes"
USER = "10001"
DATA, TEMPORARY = "/var/lib/bridge", "/tmp"  # noqa: S108 - of the image


def words(stage: int, word: str) -> list[str]:
    return [each.text for each in stages()[stage] if each.word == word]


def test_both_stages_begin_at_one_image_by_its_digest() -> None:
    [base] = [each.text for each in instructions() if each.word == "ARG"]
    assert re.fullmatch(r"BASE=python:3\.1[1-9]-slim@sha256:[0-9a-f]{64}", base)
    assert [stage[0].text for stage in stages()] == ["${BASE} AS build", "${BASE}"]


def test_the_last_stage_installs_and_compiles_nothing() -> None:
    [made_from] = words(-1, "COPY")
    assert made_from == "--from=build /opt/bridge /opt/bridge"
    for run in words(-1, "RUN"):
        assert not re.search(r"\b(pip|apt-get|gcc|git|curl)\b", run)


def test_what_is_built_and_installed_is_what_the_locks_say() -> None:
    """By the hash of each file, build tools included; nothing is resolved while an image is built."""
    commands = [part for run in words(0, "RUN") for part in run.split("&&") if "pip " in part]
    assert len(commands) == 4
    for command in commands:
        assert "--require-hashes -r locks/" in command or "--no-deps" in command, command
        assert "pip wheel" not in command or "--no-build-isolation" in command
    required = (ROOT / "pyproject.toml").read_text().split("requires = [", 1)[1].split("]")[0]
    assert set(re.findall(r'"([a-z]+)', required)) <= locked_versions("build").keys()


def test_it_runs_as_a_number_and_has_one_folder_to_write_into() -> None:
    [user], [volume], [folder] = words(-1, "USER"), words(-1, "VOLUME"), words(-1, "WORKDIR")
    assert user == f"{USER}:{USER}"
    assert volume == folder == DATA
    # Where a platform chooses the user (OpenShift), it is one of group 0.
    assert f"install -d -o {USER} -g 0 -m 0770 {DATA}" in words(-1, "RUN")[0]
    variables = environment(stages()[-1])
    assert variables["HOME"] == DATA
    assert variables["BRIDGE_CONFIG"] == "/etc/bridge/bridge.yaml"


def test_its_health_is_what_the_metrics_port_says() -> None:
    [check] = words(-1, "HEALTHCHECK")
    [command] = words(-1, "CMD")
    address = "127.0.0.1:9464"
    assert address in command
    assert f"http://{address}/healthz" in check


def documents(name: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all((KUBERNETES / name).read_text()))


EXAMPLES = sorted(path.name for path in KUBERNETES.glob("*.yaml"))
WORKLOADS = [
    pytest.param(each, id=f"{name}:{each['metadata']['name']}")
    for name in EXAMPLES
    for each in documents(name)
    if each["kind"] in ("Deployment", "StatefulSet")
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_kubernetes_knows_every_field_of_the_example(name: str) -> None:
    try:
        import kubernetes_validate
    except ImportError:
        if os.environ.get("CI", "").lower() in {"true", "1"}:
            raise
        pytest.skip("pip install kubernetes-validate")
    for document in documents(name):
        kubernetes_validate.validate(document, "1.33", strict=True)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_pods_have_no_rights_that_they_do_not_need(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    for name in ("runAsUser", "runAsGroup", "fsGroup"):
        assert str(pod["securityContext"][name]) == USER
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "limits" in container["resources"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert {path for path, mount in mounts.items() if not mount.get("readOnly")} == {
        DATA,
        TEMPORARY,
    }
    claims = {each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", ())}
    volumes = {volume["name"] for volume in pod["volumes"]} | claims
    assert {mount["name"] for mount in mounts.values()} == volumes
    assert not container.get("env"), "secrets come as files, which are read again"


@pytest.mark.parametrize("workload", WORKLOADS)
def test_no_two_pods_capture_at_a_time(workload: dict[str, Any]) -> None:
    """Each would take over from the other, end it, and be ended once that one is started again."""
    [container] = workload["spec"]["template"]["spec"]["containers"]
    arguments = container["args"]
    if "--only" in arguments and arguments[arguments.index("--only") + 1] != "capture":
        return
    assert workload["spec"]["replicas"] == 1
    if workload["kind"] == "Deployment":
        assert workload["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_whatever_stands_beside_the_pods_names_pods_that_are_there(name: str) -> None:
    """A selector that fits nothing is no error anywhere: nothing is scraped, any node is emptied."""
    every = documents(name)
    pods = [
        (each["spec"]["template"]["metadata"]["labels"], each["spec"]["replicas"])
        for each in every
        if "template" in each.get("spec", ())
    ]
    services = [each["spec"] for each in every if each["kind"] == "Service"]
    assert services, "nobody finds the figures"
    for service in services:
        assert service["publishNotReadyAddresses"] is True
        assert all(service["selector"].items() <= labels.items() for labels, _ in pods)
    budgets = [each["spec"] for each in every if each["kind"] == "PodDisruptionBudget"]
    limited = [
        (labels, replicas)
        for budget in budgets
        for labels, replicas in pods
        if budget["selector"]["matchLabels"].items() <= labels.items()
    ]
    assert len(limited) == len(budgets)
    assert [pod for pod in pods if pod[1] > 1] == limited


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_an_example_declares_takes_effect(name: str) -> None:
    [config] = [each for each in documents(name) if each["kind"] == "ConfigMap"]
    system = YAML(typ="safe").load(config["data"]["erp.yaml"])
    for command in system.get("commands", {}).values():
        assert command["tier"] == "outside_the_loop"


@pytest.mark.parametrize("workload", WORKLOADS)
def test_probes_ask_the_port_that_the_bridge_serves(workload: dict[str, Any]) -> None:
    from bridge.cli.stop_signals import LAST_S

    pod = workload["spec"]["template"]["spec"]
    [container] = pod["containers"]
    [port] = container["ports"]
    assert f"0.0.0.0:{port['containerPort']}" in container["args"]
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": port["name"]}
    assert pod["terminationGracePeriodSeconds"] >= 2 * LAST_S
    answer = CliRunner().invoke(group, [*container["args"], "--help"])
    assert answer.exit_code == 0, answer.output


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_configuration_of_the_example_is_right(name: str, tmp_path: Path) -> None:
    [config] = [each for each in documents(name) if each["kind"] == "ConfigMap"]
    for path in ("secrets", "data"):
        (tmp_path / path).mkdir()
    for secret in ("erp_password", "kafka_password"):
        (tmp_path / "secrets" / secret).write_text("hush-hush")
    (tmp_path / "secrets" / "ca.pem").write_text("")
    for file, text in config["data"].items():
        (tmp_path / file).write_text(
            text.replace("/run/secrets/bridge", str(tmp_path / "secrets"))
            .replace(DATA, str(tmp_path / "data"))
            .replace("/etc/bridge-ca", str(tmp_path / "secrets"))
        )
    answer = CliRunner().invoke(group, ["-c", str(tmp_path / "bridge.yaml"), "check", "--offline"])
    assert answer.exit_code == 0, answer.output


@pytest.mark.usefixtures("processes")
def test_it_ends_in_order_where_only_its_data_folder_can_be_written(tmp_path: Path) -> None:
    """As in a pod: no HOME, a working folder and a configuration that nobody writes into."""
    demo = create_bridge_folder(tmp_path / "etc")
    data, tmp = tmp_path / "data", tmp_path / "tmp"
    shutil.move(demo.folder / "var", data)
    tmp.mkdir()
    demo.config.write_text(
        re.sub(r"(?m)^log: .*", f"log: sqlite:///{data}/bridge.db", demo.config.read_text())
    )
    system = demo.folder / "systems" / "erp.yaml"
    url = f"sqlite:///{data}/erp.db"
    system.write_text(re.sub(r"(?m)^url: .*", f"url: {url}", system.read_text()))
    assert demo.call("setup", "erp", "--yes").code == 0
    before = sorted(path for path in demo.folder.rglob("*") if "__pycache__" not in path.parts)
    shutil.rmtree(demo.folder / "agents" / "__pycache__", ignore_errors=True)
    [port] = free_ports(1)
    variables = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(tmp),
        "PYTHONDONTWRITEBYTECODE": "1",
        "BRIDGE_CONFIG": str(demo.config),
    }
    users = subprocess.Popen(
        [sys.executable, str(demo.folder / "legacy" / "erp.py"), "-", "work", "60"],
        env={**os.environ, "ERP_URL": url, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    bridge = subprocess.Popen(
        [str(PROGRAM), "run", "--metrics", f"127.0.0.1:{port}", "--exit-on-failure"],
        cwd="/proc",  # where not even root can write
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _until_ready(port)
        demo.until("tail", "sales_order", "--no-follow", "--limit", "20", "--json", count=20)
        begun = time.monotonic()
        bridge.send_signal(signal.SIGTERM)
        output, _ = bridge.communicate(timeout=WAIT_TIMEOUT_S)
        assert (bridge.returncode, time.monotonic() - begun < STOP_TIMEOUT_S) == (0, True), output
        assert "Traceback" not in output
    finally:
        for process in (users, bridge):
            process.kill()
            process.wait()
    shutil.rmtree(demo.folder / "agents" / "__pycache__", ignore_errors=True)
    assert sorted(demo.folder.rglob("*")) == before
    assert list(tmp.iterdir()) == []


def _until_ready(port: int) -> None:
    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    wait_until(ready)
