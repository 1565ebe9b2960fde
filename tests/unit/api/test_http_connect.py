from __future__ import annotations

import pytest

from testbed.api.frontdoor.http_connect import host_of
from testbed.api.frontdoor.protocol import Greeting, meaning
from testbed.errors import InvalidArgument


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", None),
        (b"\x16", Greeting.TLS),
        (b"P", None),
        (b"PRI * HTTP/2.0\r", None),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Greeting.HTTP2),
        (b"PRI * HTTP/1.1\r\n", Greeting.HTTP1),
        (b"PO", Greeting.HTTP1),
        (b"C", None),
        (b"CONNECT", None),
        (b"CONNECT x", Greeting.CONNECT),
        (b"CONNECTION", Greeting.HTTP1),
        (b"GET / HTTP/1.1\r\n", Greeting.HTTP1),
        (b"\x00\xff", Greeting.HTTP1),
    ],
)
def test_what_the_first_bytes_mean(data: bytes, found: Greeting | None) -> None:
    assert meaning(data) is found


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("vpcaccess.googleapis.com:443", "vpcaccess.googleapis.com"),
        ("VPCaccess.GoogleAPIs.com.:443", "vpcaccess.googleapis.com"),
        ("127.0.0.1:8443", "127.0.0.1"),
        ("[::1]:443", "::1"),
    ],
)
def test_whom_a_request_is_for(target: str, host: str) -> None:
    assert host_of(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) == host


@pytest.mark.parametrize(
    "head",
    [
        b"CONNECT googleapis.com HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT https://googleapis.com:443/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT evil.com@googleapis.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT googleapis.com:443x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT googleapis.com:443\r\n\r\n",
        b"CONNECT googleapis.com:443 HTTP/1.1\r\nHost: x\r\n",
        b"CONNECT googleapis.com:443 HTTP/1.1\r\nno header\r\n\r\n",
        b"CONNECT  HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_request_for_a_host(head: bytes) -> None:
    with pytest.raises(InvalidArgument, match="CONNECT request"):
        host_of(head)
