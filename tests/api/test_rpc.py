"""gRPC, where it is refused or goes wrong; what it does otherwise, clients show (`tests/clients`)."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from google.iam.v1 import iam_policy_pb2, policy_pb2
from grpc import StatusCode

from testbed.api.callers.identity import OWNER
from testbed.api.contract.messages import find, rpcs
from testbed.api.wire.rpc import Bridge
from tests.api.furnished import furnish
from tests.api.harness import Api

RPC = rpcs("vpcaccess.v1")["/google.cloud.vpcaccess.v1.VpcAccessService/ListConnectors"]


class Context:
    """One call, and how it ended."""

    def __init__(self, **metadata: str) -> None:
        self._metadata = tuple((key.replace("_", "-"), value) for key, value in metadata.items())
        self.status: Any = None

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    async def abort(self, *status: Any) -> None:
        self.status = status

    async def abort_with_status(self, status: Any) -> None:
        self.status = status


def asked(api: Api, context: Context, **fields: str) -> Any:
    return sent(api, context, RPC.request(**fields).SerializeToString())


def sent(api: Api, context: Context, message: bytes) -> Any:
    return asyncio.run(Bridge(api.dispatcher, lambda _: OWNER)._answer(RPC, message, context))


@pytest.mark.parametrize("metadata", [{"origin": "https://evil.example"}, {"sec_fetch_site": "cross-site"}])
def test_a_web_page_is_refused(api: Api, metadata: dict[str, str]) -> None:
    context = Context(**metadata)
    assert asked(api, context, parent="projects/demo/locations/us-central1") is None
    assert context.status.code is StatusCode.PERMISSION_DENIED


def test_bytes_that_are_no_message_are_refused(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    context = Context()
    assert sent(api, context, b"\xff\xff\xff") is None
    assert context.status.code is StatusCode.INVALID_ARGUMENT
    assert "cannot be read as google.cloud.vpcaccess.v1.ListConnectorsRequest" in context.status.details
    assert "Traceback" not in caplog.text


def test_a_defect_is_not_told(api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(api.plane, "list", broken)
    context = Context()
    assert asked(api, context, parent="projects/demo/locations/us-central1") is None
    assert (context.status.code, "secret" in context.status.details) == (StatusCode.INTERNAL, False)
    assert "KeyError: 'secret'" in caplog.text  # for whoever runs the testbed


def test_a_procedure_that_no_client_has_is_refused_by_name(api: Api) -> None:
    path = "/google.cloud.vpcaccess.v1.VpcAccessService/MoveConnector"
    handler = Bridge(api.dispatcher, lambda _: OWNER).service(SimpleNamespace(method=path))
    context = Context()
    asyncio.run(handler.unary_unary(b"", context))
    assert context.status == (StatusCode.UNIMPLEMENTED, f"method {path}: the testbed does not implement it")


def test_a_service_has_a_policy(api: Api) -> None:
    """IAM policies are shared messages: the clients carry them without a wrapper of their own."""
    furnish(api)
    name = "projects/demo/locations/us-central1/services/s1"
    binding = policy_pb2.Binding(role="roles/run.invoker", members=["allUsers"])
    request = iam_policy_pb2.SetIamPolicyRequest(resource=name, policy=policy_pb2.Policy(bindings=[binding]))
    bridge = Bridge(api.dispatcher, lambda _: OWNER)
    for path in ("/google.cloud.run.v2.Services/SetIamPolicy", "/google.iam.v1.IAMPolicy/SetIamPolicy"):
        rpc = find(path)
        assert rpc is not None
        policy = asyncio.run(bridge._answer(rpc, request.SerializeToString(), Context()))
        assert isinstance(policy, policy_pb2.Policy)
        assert list(policy.bindings) == [binding]
