# The testbed itself in a container: compose.yaml.  BASE is any Debian 12 image.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends \
        ca-certificates conntrack iproute2 ipset iptables procps python3-venv unzip \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
# Packages that are in build/wheels are taken from there: where a build cannot reach the package index, somebody else does.
COPY images/testbed.requirements.txt build/wheel[s] /tmp/wheels/
# Of the package `ansible` only the collection that reaches into containers is needed: 3 MB of 470.
RUN cd /tmp/wheels && python3 -m venv /opt/venv && PATH=/opt/venv/bin:$PATH \
 && export PIP_REQUIRE_HASHES=1 PIP_NO_DEPS=1 && mv testbed.requirements.txt all.txt \
 && { ls ./*.whl >/dev/null 2>&1 || pip download -q --only-binary=:all: -r all.txt; } \
 && sed '/^ansible==/,/[^\\]$/d' all.txt | pip install -q --no-index --find-links . -r /dev/stdin \
 && unzip -q './ansible-[0-9]*.whl' 'ansible_collections/community/docker/*' \
        'ansible_collections/community/library_inventory_filtering_v1/*' -d /opt/venv/lib/python3.11/site-packages \
 && rm -r /tmp/wheels
COPY . /opt/testbed
RUN /opt/venv/bin/python -m compileall -q /opt/testbed/testbed \
 && echo /opt/testbed > /opt/venv/lib/python3.11/site-packages/testbed.pth
ENTRYPOINT ["/opt/venv/bin/python", "-P", "-m", "testbed"]
