"""Where engines answer in pods as other people make them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.workloads.engine_endpoints import EngineEndpoint
from loadline_agent.workloads.pods import pod_of

GPU = {"limits": {"nvidia.com/gpu": "1"}}
OURS = {"loadline.dev/service": "chat", "loadline.dev/pool": "main"}


def asked(
    *containers: dict[str, Any],
    labels: dict[str, str] | None = None,
    annotations: dict[str, Any] | None = None,
    ip: str = "10.0.0.9",
) -> str:
    """The URL at which the engine of a pod is asked."""
    found = pod_of(
        {
            "metadata": {
                "namespace": "t",
                "labels": labels or {"app": "x"},
                "annotations": annotations or {},
            },
            "spec": {"containers": list(containers)},
            "status": {"phase": "Running", "podIP": ip},
        }
    )
    assert found is not None
    assert found.host is not None
    return found.endpoint.url(found.host)


def engine(*args: str, **fields: Any) -> dict[str, Any]:
    return {"name": "server", "resources": GPU, "args": list(args), **fields}


def port(number: object, name: str | None = None) -> dict[str, Any]:
    return {"containerPort": number} | ({"name": name} if name is not None else {})


@pytest.mark.parametrize(
    ("container", "url"),
    [
        (engine(), "http://10.0.0.9:8000/metrics"),
        (engine(ports=[port(8080)]), "http://10.0.0.9:8080/metrics"),
        (engine(ports=[port(9000, "metrics"), port(8080, "http")]), "http://10.0.0.9:8080/metrics"),
        (engine("--model=m", "--port=8200", ports=[port(8000, "http")]), "http://10.0.0.9:8200/metrics"),
        (engine("--model", "m", "--port", "8200"), "http://10.0.0.9:8200/metrics"),
        (
            engine(command=["sh", "-c"], args=["exec vllm serve m --port 8081 --tensor-parallel-size 8"]),
            "http://10.0.0.9:8081/metrics",
        ),
        (
            engine(command=["python3", "-m", "sglang.launch_server", "--port", "40000"]),
            "http://10.0.0.9:40000/metrics",
        ),
        (engine(command=["python3", "-m", "sglang.launch_server"]), "http://10.0.0.9:30000/metrics"),
        (
            engine(readinessProbe={"httpGet": {"port": 8443, "scheme": "HTTPS", "path": "/health"}}),
            "https://10.0.0.9:8443/metrics",
        ),
        (
            engine(ports=[port(8001, "api")], livenessProbe={"httpGet": {"port": "api"}}),
            "http://10.0.0.9:8001/metrics",
        ),
        (
            engine("--ssl-certfile=/tls/tls.crt", "--ssl-keyfile=/tls/tls.key"),
            "https://10.0.0.9:8000/metrics",
        ),
        (engine("--ssl-certfile", "/tls/tls.crt"), "https://10.0.0.9:8000/metrics"),
        (engine("--port=${PORT}", ports=[port(8080)]), "http://10.0.0.9:8080/metrics"),
        (engine(ports=[port(53) | {"protocol": "UDP"}, port(8080)]), "http://10.0.0.9:8080/metrics"),
    ],
)
def test_an_engine_is_asked_where_its_container_says(container: dict[str, Any], url: str) -> None:
    assert asked(container) == url


@pytest.mark.parametrize(
    ("annotations", "url"),
    [
        ({"prometheus.io/port": "8080"}, "http://10.0.0.9:8080/metrics"),
        (
            {"prometheus.kserve.io/port": "8081", "prometheus.kserve.io/path": "/m"},
            "http://10.0.0.9:8081/m",
        ),
        ({"prometheus.io/port": "1", "prometheus.kserve.io/port": "2"}, "http://10.0.0.9:1/metrics"),
        ({"prometheus.io/scheme": "https"}, "https://10.0.0.9:7000/metrics"),
        ({"prometheus.io/port": "http", "prometheus.io/path": "metrics"}, "http://10.0.0.9:7000/metrics"),
        ({"prometheus.io/port": "70000", "prometheus.io/scheme": "file"}, "http://10.0.0.9:7000/metrics"),
    ],
)
def test_annotations_go_before_what_the_container_says(annotations: dict[str, str], url: str) -> None:
    assert asked(engine(ports=[port(7000)]), annotations=annotations) == url


def test_a_pod_of_ours_is_asked_where_we_made_it_listen() -> None:
    own = {"name": "vllm", "resources": GPU, "ports": [port(8000, "http")]}
    assert asked(own, labels=OURS, annotations={"prometheus.io/port": "1"}) == "http://10.0.0.9:8000/metrics"


def test_a_proxy_beside_the_engine_is_not_asked() -> None:
    proxy = {"name": "routing-proxy", "ports": [port(8000, "http")], "args": ["--port=8000"]}
    assert asked(proxy, engine("--port=8200")) == "http://10.0.0.9:8200/metrics"


def test_a_claimed_gpu_makes_the_engine_too() -> None:
    claimed = {"name": "server", "resources": {"claims": [{"name": "gpu"}]}, "args": ["--port=8200"]}
    proxy = {"name": "proxy", "ports": [port(8000, "http")]}
    pod = {
        "metadata": {"namespace": "t"},
        "spec": {"containers": [proxy, claimed], "resourceClaims": [{"name": "gpu"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.9"},
    }
    found = pod_of(pod)
    assert found is not None
    assert found.endpoint == EngineEndpoint(port=8200)


def test_an_ipv6_address_is_in_brackets() -> None:
    assert asked(engine(), ip="fd00::7") == "http://[fd00::7]:8000/metrics"


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text(), max_size=2)
)


@given(said=ODD, name=ODD, where=st.sampled_from(["ports", "probe", "annotation", "args"]))
def test_whatever_a_tenant_writes_the_port_is_one(said: object, name: object, where: str) -> None:
    made = engine()
    annotations = {}
    if where == "ports":
        made["ports"] = [{"containerPort": said, "name": name}]
    if where == "probe":
        made["readinessProbe"] = {"httpGet": {"port": said, "scheme": name}}
    if where == "annotation":
        annotations = {"prometheus.io/port": said, "prometheus.io/path": name}
    if where == "args":
        made["args"] = ["--port", said, name]
    url = asked(made, annotations=annotations)
    assert url.startswith(("http://10.0.0.9:", "https://10.0.0.9:"))
    assert 1 <= int(url.split(":")[2].partition("/")[0]) <= 65535
