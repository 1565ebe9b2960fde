# The testbed itself in a container: compose.yaml.  BASE is any Debian 12 image.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends \
        ca-certificates conntrack iproute2 ipset iptables procps python3-venv \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
# Packages that are in build/wheels are taken from there: where a build cannot reach the package index, somebody else does.
COPY images/testbed.requirements.txt build/wheel[s] /tmp/wheels/
RUN cd /tmp/wheels && python3 -m venv /opt/venv && PATH=/opt/venv/bin:$PATH \
 && export PIP_REQUIRE_HASHES=1 PIP_NO_DEPS=1 \
 && { ls ./*.whl >/dev/null 2>&1 || pip download -q --only-binary=:all: -r testbed.requirements.txt; } \
 && pip install -q --no-index --find-links . -r testbed.requirements.txt \
 && rm -r /tmp/wheels
COPY . /opt/testbed
RUN /opt/venv/bin/python -m compileall -q /opt/testbed/testbed \
 && echo /opt/testbed > /opt/venv/lib/python3.11/site-packages/testbed.pth
ENTRYPOINT ["/opt/venv/bin/python", "-P", "-m", "testbed"]
