"""Between v2 and v1 nothing is lost that both can say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from testbed.api.services.run import knative
from testbed.json_object import Json
from testbed.model.serverless.run import LATEST, REVISION

words = st.text("abcdefgh-./ ", min_size=1, max_size=12)
counts = st.integers(1, 1000)
maps = st.dictionaries(words.map(lambda key: f"my/{key}"), words, min_size=1, max_size=3)


def some(**fields: st.SearchStrategy[object]) -> st.SearchStrategy[Json]:
    """A message with any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


variables = st.one_of(
    st.fixed_dictionaries({"name": words, "value": words}),
    st.fixed_dictionaries(
        {
            "name": words,
            "valueSource": st.fixed_dictionaries({"secretKeyRef": st.just({"secret": "s", "version": "1"})}),
        }
    ),
)
resources = some(limits=maps, cpuIdle=st.booleans(), startupCpuBoost=st.booleans()).filter(bool)
containers = some(
    image=words,
    command=st.lists(words, min_size=1),
    args=st.lists(words, min_size=1),
    name=words,
    env=st.lists(variables, min_size=1),
    resources=resources,
    workingDir=words,
    ports=st.just([{"name": "http1", "containerPort": 8080}]),
    startupProbe=st.just({"tcpSocket": {"port": 8080}, "periodSeconds": 240}),
)
templates = some(
    labels=maps,
    annotations=maps,
    revision=words,
    timeout=counts.map("{}s".format),
    serviceAccount=words,
    client=words,
    maxInstanceRequestConcurrency=counts,
    sessionAffinity=st.booleans(),
    encryptionKey=words,
    executionEnvironment=st.sampled_from(["EXECUTION_ENVIRONMENT_GEN1", "EXECUTION_ENVIRONMENT_GEN2"]),
    scaling=some(minInstanceCount=counts, maxInstanceCount=counts).filter(bool),
    vpcAccess=some(connector=words, egress=st.sampled_from(["ALL_TRAFFIC", "PRIVATE_RANGES_ONLY"])).filter(bool),
    containers=containers.filter(bool).map(lambda one: [one]),
)
targets = st.one_of(
    st.fixed_dictionaries({"type": st.just(LATEST), "percent": counts}),
    st.fixed_dictionaries({"type": st.just(REVISION), "revision": words, "percent": counts, "tag": words}),
)
services = st.builds(
    lambda template, rest: {**rest, "template": template},
    templates,
    some(
        labels=maps,
        annotations=maps,
        description=words,
        client=words,
        launchStage=st.sampled_from(["GA", "BETA"]),
        ingress=st.sampled_from(["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY"]),
        scaling=some(minInstanceCount=counts, scalingMode=st.sampled_from(["MANUAL", "AUTOMATIC"])).filter(bool),
        invokerIamDisabled=st.booleans(),
        customAudiences=st.lists(words, min_size=1),
        traffic=st.lists(targets, min_size=1, max_size=3),
    ),
)


tasks = templates.map(
    lambda one: {
        key: one[key] for key in ("timeout", "serviceAccount", "executionEnvironment", "vpcAccess") if key in one
    }
)
jobs = st.builds(
    lambda execution, task, container, rest: {
        **rest,
        "template": {**execution, "template": {**task, "containers": [container]}},
    },
    some(taskCount=counts, parallelism=counts, labels=maps, annotations=maps, client=words),
    st.builds(lambda one, retries: {**one, "maxRetries": retries}, tasks, st.integers(0, 10)),
    some(image=words, args=st.lists(words, min_size=1), resources=some(limits=maps).filter(bool)).filter(bool),
    some(labels=maps, annotations=maps, client=words, launchStage=st.sampled_from(["GA", "BETA"])),
)


@given(jobs)
def test_jobs_from_v2_to_v1_and_back(job: Json) -> None:
    assert knative.job_to_v2(knative.job_from_v2(job)) == job


@given(services)
def test_from_v2_to_v1_and_back(service: Json) -> None:
    assert knative.service_to_v2(knative.service_from_v2(service)) == service


def test_every_annotation_has_its_place() -> None:
    template = {
        "metadata": {
            "annotations": {
                "run.googleapis.com/vpc-access-connector": "c1",
                "run.googleapis.com/vpc-access-egress": "all",
                "autoscaling.knative.dev/minScale": "2",
                "run.googleapis.com/cpu-throttling": "false",
                "run.googleapis.com/operation-id": "x",
                "mine": "kept",
            }
        },
        "spec": {"containers": [{"image": "i"}], "timeoutSeconds": 30},
    }
    assert knative.template_to_v2(template) == {
        "annotations": {"mine": "kept"},
        "scaling": {"minInstanceCount": 2},
        "timeout": "30s",
        "vpcAccess": {"connector": "c1", "egress": "ALL_TRAFFIC"},
        "containers": [{"image": "i", "resources": {"cpuIdle": False}}],
    }
