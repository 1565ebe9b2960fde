"""A small web application that reaches into a VPC network on request and says what it found.

The same code is deployed three times, as a Cloud Run service (`gunicorn --bind :$PORT main:app`), as a function
(functions-framework, `--target relay`) and as an App Engine standard app (`gunicorn main:app`).  Every answer is JSON.
An upstream that refuses or cannot be reached is 502, one that does not answer in time is 504, the caller's mistake 400.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import subprocess
import time
from functools import cache
from typing import Any

import redis
import urllib3
from flask import Flask, Request, request
from parameters import TIMEOUT, argument, number, revision, server, service, setting, timeout
from redis.backoff import NoBackoff
from redis.retry import Retry
from werkzeug.exceptions import BadGateway, BadRequest, GatewayTimeout, HTTPException, NotFound
from werkzeug.wrappers import Response

Answer = dict[str, Any]

MAX_HOLD = 300.0
"""Seconds that `/tcp` holds a connection open at most."""
POOL_SIZE = 16
"""Connections to one server that are open at most: an application whose connections grow without limit gets
`connection refused` or `connection timeout` from a connector; a pool is the documented remedy."""

app = Flask(__name__)
pooled = urllib3.PoolManager(maxsize=POOL_SIZE, block=True, retries=False)


def relay(incoming: Request) -> Response:
    """The function's entry point; the same application answers."""
    return Response.from_app(app, incoming.environ)


@app.route("/", methods=["GET", "POST"])
def who_am_i() -> Answer:
    """Which deployment this is."""
    return {"service": service(), "revision": revision(), "hostname": socket.gethostname()}


@app.get("/http")
def http() -> Answer:
    """What `?url=` answers, over a connection of its own: each call is a new flow."""
    with urllib3.PoolManager(retries=False) as own:
        return fetch(own, argument("url"))


@app.get("/vm")
def vm() -> Answer:
    """What the VM at VM_URL answers to `?path=`, over a pooled connection (`?fresh=1`: over one of its own)."""
    url = setting("VM_URL").rstrip("/") + "/" + request.args.get("path", "").lstrip("/")
    if not request.args.get("fresh"):
        return fetch(pooled, url)
    with urllib3.PoolManager(retries=False) as own:
        return fetch(own, url)


def fetch(pool: urllib3.PoolManager, url: str) -> Answer:
    """Status, body (as JSON where it is JSON) and duration of a GET."""
    if not url.startswith(("http://", "https://")):
        raise BadRequest(f"{url} is not an http:// or https:// URL")
    began, limit = time.monotonic(), timeout()
    answer = pool.request("GET", url, timeout=limit, pool_timeout=limit, redirect=False)
    text = answer.data.decode(errors="replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = text
    return {"status": answer.status, "body": body, "seconds": round(time.monotonic() - began, 6)}


@app.get("/tcp")
def tcp() -> Answer:
    """Opens a connection to `?host=&port=`, sends `?line=` (if given), reads a line, holds it for `?hold=` seconds.

    After a hold the line is sent once more: a second answer proves that the connection lived through it.
    """
    target, line, hold = server(), request.args.get("line"), number("hold", 0, 0, MAX_HOLD)
    answers = []
    with socket.create_connection(target, timeout()) as connection, connection.makefile("rb") as answer:
        address, port = connection.getsockname()[:2]
        for pause in (0, hold) if hold else (0,):
            time.sleep(pause)
            if line is not None:
                connection.sendall(f"{line}\n".encode())
                answers.append(answer.readline().decode(errors="replace").rstrip("\n"))
    return {"local": f"{address}:{port}", "answers": answers}


@app.get("/udp")
def udp() -> Answer:
    """Sends `?data=` as one datagram to `?host=&port=` and returns the one that comes back."""
    target = server()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(timeout())
        connection.connect(target)  # so that only the server's answers, and ICMP errors about it, reach this socket
        connection.send(request.args.get("data", "ping").encode())
        answer = connection.recv(65535).decode(errors="replace")
        address, port = connection.getsockname()
    return {"local": f"{address}:{port}", "answer": answer.rstrip("\n")}


@app.get("/ping")
def ping() -> Answer:
    """Whether `?host=` (an IPv4 address) answers one ICMP echo request within a second."""
    try:
        host = str(ipaddress.IPv4Address(argument("host")))
    except ipaddress.AddressValueError as error:
        raise BadRequest(f"?host= is not an IPv4 address: {error}") from None
    done = subprocess.run(["ping", "-c1", "-W1", host], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    return {"alive": done.returncode == 0, "output": done.stdout + done.stderr}


@cache
def store() -> redis.Redis:
    """The Redis server that REDIS_HOST, REDIS_PORT and REDIS_AUTH name.  Its connections carry the service's name."""
    return redis.Redis.from_pool(
        redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
            host=setting("REDIS_HOST"),
            port=int(os.environ.get("REDIS_PORT", "6379")),
            password=os.environ.get("REDIS_AUTH"),
            client_name=service(),
            max_connections=POOL_SIZE,
            timeout=TIMEOUT,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),  # an error is reported, not papered over
            decode_responses=True,
        )
    )


@app.get("/redis")
def read() -> Answer:
    """The value of `?key=`."""
    key = argument("key")
    value = store().get(key)
    if value is None:
        raise NotFound(f"there is no key {key}")
    return {"key": key, "value": value}


@app.post("/redis")
def write() -> Answer:
    """Stores the body's value under the body's key."""
    pair = request.get_json()
    if not isinstance(pair, dict) or not isinstance(pair.get("key"), str) or not isinstance(pair.get("value"), str):
        raise BadRequest('the body is not {"key": "...", "value": "..."}')
    store().set(pair["key"], pair["value"])
    return {"key": pair["key"], "value": pair["value"]}


@app.route("/redis/incr", methods=["GET", "POST"])
def increment() -> Answer:
    """Adds one to the number under `?key=`."""
    key = argument("key")
    return {"key": key, "value": store().incr(key)}


@app.get("/redis/clients")
def clients() -> Answer:
    """Who is connected to Redis, as Redis sees them."""
    return {"clients": [{"address": one["addr"], "name": one["name"]} for one in store().client_list()]}


@app.errorhandler(Exception)
def failed(error: Exception) -> tuple[Answer, int]:
    """Every error as JSON, with the status of its kind."""
    match error:
        case HTTPException():
            problem = error
        case urllib3.exceptions.NewConnectionError():  # refused, unreachable, unknown: for urllib3 a timeout
            problem = BadGateway(str(error))
        case TimeoutError() | urllib3.exceptions.TimeoutError() | redis.TimeoutError() | subprocess.TimeoutExpired():
            problem = GatewayTimeout(f"no answer in time: {error}")
        case OSError() | urllib3.exceptions.HTTPError() | redis.RedisError():
            problem = BadGateway(str(error))
        case _:
            raise error
    status = problem.code or 500
    return {"error": {"status": status, "message": problem.description}}, status
