"""What this kernel, its tools and this process's rights can do for a testbed.

Every feature is tried with the commands that the testbed itself would use, in a throw-away namespace: a configuration
symbol says that a feature was built, not that it can be loaded here, or used by this process.
"""

from __future__ import annotations

import os
import threading

from testbed.capability import Capability, Finding, Look, Probe, on_path
from testbed.errors import TestbedError
from testbed.fabric.plan import Htb, HtbClass, Namespace, Qdisc, Tbf, TokenBucket, class_id
from testbed.kernel import netlink, nflog, queueing
from testbed.kernel.feature_test import Command, perform, privileged, step, trying
from testbed.kernel.temporary_namespace import in_new_namespace


def rule(table: str, text: str) -> Command:
    """The step that adds one rule the way the testbed does, by iptables-restore."""
    return step("iptables-restore --noflush", f"*{table}\n{text}\nCOMMIT\n")


def kernel(symbols: str, modules: str) -> str:
    """The remedy for a kernel feature."""
    return f"modprobe {modules}; else a kernel with {symbols}, as Debian's is"


def rights() -> Finding:
    """A look at what this process may do."""
    if privileged():
        return Finding(present=True, detail=f"user {os.geteuid()} has CAP_NET_ADMIN and CAP_SYS_ADMIN")
    return Finding(present=False, detail=f"user {os.geteuid()} lacks CAP_NET_ADMIN or CAP_SYS_ADMIN")


VETH = step("ip link add tb0 type veth peer name tb1")
VLAN = step("ip link add link tb0 name tb0.100 type vlan id 100")
TUNNEL = (
    step("ip link add tun0 type vxlan external gpe dstport 665"),
    step("ip link set tun0 up"),
)
NEXTHOPS = (
    *TUNNEL,
    step("ip nexthop add id 1 encap ip id 7 dst 10.8.0.2 dev tun0"),
    step("ip nexthop add id 2 encap ip id 7 dst 10.8.0.3 dev tun0"),
)
ESP = step(
    "ip xfrm state add src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x100 mode tunnel"
    f" aead rfc4106(gcm(aes)) 0x{'00' * 20} 128"
)
SETS = step(
    "ipset restore",
    "create a hash:ip\n"
    "create b hash:net counters\n"
    "create d hash:ip,port\n"
    "create e hash:ip,port,ip\n"
    "create f bitmap:port range 0-65535\n",
)

NOTE = rule("filter", "-A FORWARD -p tcp -m conntrack ! --ctstatus CONFIRMED -j NFLOG --nflog-group 1 --nflog-size 64")


def nflog_works() -> Finding:
    """A look at whether rules can note packets, and somebody can read the notes."""

    def listen() -> None:
        nflog.listen(f"/proc/self/task/{threading.get_native_id()}/ns/net", 1).close()

    found = trying(NOTE)()
    if found.present:
        try:
            in_new_namespace(listen)
        except (TestbedError, OSError) as error:
            return Finding(present=False, detail=str(error))
    return found


_PROBED = TokenBucket(rate=1_000_000, burst=64 << 10)
_QUEUE = 64 << 10


def shaping(qdisc: Qdisc) -> Look:
    """A look whether the device tb0 can have a queueing discipline."""

    def look() -> Finding:
        found = trying(VETH)()
        return found if not found.present else in_new_namespace(_shaped)

    def _shaped() -> Finding:
        perform((VETH,))
        try:
            netlink.perform([*queueing.steps(Namespace("", qdiscs=frozenset({qdisc})), frozenset())])
        except TestbedError as error:
            return Finding(present=False, detail=error.message)
        return Finding(present=True, detail="works")

    return look


vlans_work = trying(VETH, VLAN)
"""A look at whether packets between two namespaces can be tagged."""

NO_CAPACITY = "connectors have no capacity: only `capacity: off` is possible"
NO_CONNECTION_LIMIT = "connectors do not limit connections: only `capacity: off`, or numbers without them, are possible"
NO_TESTBED = "no testbed can be brought up"
NO_TUNNEL = "no tunnel from a service to its connector"
NO_FIREWALL = "no firewall: its rules match sets of ranges and tags"

PROBES: tuple[Probe, ...] = (
    Probe("privileges", "required", rights, NO_TESTBED, "run as root: sudo -E testbed ..."),
    Probe("network namespaces", "required", trying(), NO_TESTBED, "a kernel with CONFIG_NET_NS, as Debian's is"),
    Probe("veth", "required", trying(VETH), NO_TESTBED, kernel("CONFIG_VETH", "veth")),
    Probe("vxlan-gpe", "required", trying(*TUNNEL), NO_TUNNEL, kernel("CONFIG_VXLAN", "vxlan")),
    Probe(
        "nexthop encapsulation",
        "required",
        trying(*NEXTHOPS),
        NO_TUNNEL,
        "Linux 5.3 or newer with CONFIG_LWTUNNEL, as Debian's is",
    ),
    Probe(
        "policy routing",
        "required",
        trying(step("ip rule add priority 100 from 10.8.0.0/28 table 100")),
        "no routes that depend on the source",
        "a kernel with CONFIG_IP_MULTIPLE_TABLES, as Debian's is",
    ),
    Probe(
        "iptables",
        "required",
        trying(rule("filter", "-A FORWARD -m comment --comment tried -j DROP"), step("iptables -V")),
        "no firewall",
        "apt install iptables; " + kernel("CONFIG_NFT_COMPAT, CONFIG_NETFILTER_XT_MATCH_COMMENT", "nft_compat"),
    ),
    Probe(
        "ipset",
        "required",
        trying(SETS, step("ipset -v")),
        NO_FIREWALL,
        "apt install ipset; " + kernel("CONFIG_IP_SET, CONFIG_IP_SET_HASH_NETIFACE", "ip_set_hash_netiface"),
    ),
    Probe(
        "xt_set",
        "required",
        trying(SETS, rule("filter", "-A FORWARD -m set --match-set b src -m set --match-set d dst,dst -j ACCEPT")),
        NO_FIREWALL,
        kernel("CONFIG_NETFILTER_XT_SET", "xt_set"),
    ),
    Probe(
        "conntrack",
        "required",
        trying(rule("filter", "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT")),
        "the firewall would not be stateful: answers would be dropped",
        kernel("CONFIG_NETFILTER_XT_MATCH_CONNTRACK", "xt_conntrack"),
    ),
    Probe(
        "connection marks",
        "required",
        trying(
            rule("mangle", "-A PREROUTING -j CONNMARK --restore-mark"),
            rule("mangle", "-A PREROUTING -j HMARK --hmark-tuple src,dst,sport,dport --hmark-mod 2 --hmark-rnd 1"),
        ),
        "a connector's new instance would break the connections of the others",
        kernel("CONFIG_NETFILTER_XT_CONNMARK, CONFIG_NETFILTER_XT_TARGET_HMARK", "xt_connmark xt_HMARK"),
    ),
    Probe(
        "tcpmss",
        "required",
        trying(rule("filter", "-A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1420")),
        "TCP through tunnels would depend on ICMP errors",
        kernel("CONFIG_NETFILTER_XT_TARGET_TCPMSS", "xt_TCPMSS"),
    ),
    Probe(
        "nat",
        "required",
        trying(
            rule("nat", "-A POSTROUTING -s 35.199.224.0/19 -j MASQUERADE"),
            rule("nat", "-A POSTROUTING -s 10.0.0.2/32 -p icmp -j SNAT --to-source 198.51.100.1:1024-1087"),
        ),
        "connectors and Cloud NAT could not translate addresses",
        kernel("CONFIG_NF_NAT, CONFIG_NETFILTER_XT_TARGET_MASQUERADE", "xt_MASQUERADE"),
    ),
    Probe(
        "rpfilter",
        "required",
        trying(rule("raw", "-A PREROUTING -m rpfilter --invert -j DROP")),
        "machines could send under addresses of others",
        kernel("CONFIG_IP_NF_MATCH_RPFILTER", "ipt_rpfilter"),
    ),
    Probe(
        "sch_tbf",
        "optional",
        shaping(Tbf("tb0", _PROBED, _QUEUE)),
        NO_CAPACITY,
        kernel("CONFIG_NET_SCH_TBF", "sch_tbf"),
    ),
    Probe(
        "sch_htb",
        "optional",
        shaping(Htb("tb0", frozenset({HtbClass(1, _PROBED, _QUEUE)}))),
        NO_CAPACITY,
        kernel("CONFIG_NET_SCH_HTB", "sch_htb"),
    ),
    Probe(
        "xt_CLASSIFY",
        "optional",
        trying(rule("filter", f"-A FORWARD -j CLASSIFY --set-class {class_id(1)}")),
        NO_CAPACITY,
        kernel("CONFIG_NETFILTER_XT_TARGET_CLASSIFY", "xt_CLASSIFY"),
    ),
    Probe(
        "xt_hashlimit",
        "optional",
        trying(rule("filter", "-A FORWARD -m hashlimit --hashlimit-above 10/sec --hashlimit-name a -j DROP")),
        NO_CONNECTION_LIMIT,
        kernel("CONFIG_NETFILTER_XT_MATCH_HASHLIMIT", "xt_hashlimit"),
    ),
    Probe(
        "xt_connlimit",
        "optional",
        trying(
            rule(
                "filter",
                "-A FORWARD -m statistic --mode nth --every 2 --packet 0"
                " -m connlimit --connlimit-above 9 --connlimit-mask 0 -j DROP",
            )
        ),
        NO_CONNECTION_LIMIT,
        kernel("CONFIG_NETFILTER_XT_MATCH_CONNLIMIT, CONFIG_NETFILTER_XT_MATCH_STATISTIC", "xt_connlimit xt_statistic"),
    ),
    Probe(
        "nflog",
        "optional",
        nflog_works,
        "firewall rules cannot be logged: one with logConfig is refused",
        kernel("CONFIG_NETFILTER_XT_TARGET_NFLOG, CONFIG_NETFILTER_NETLINK_LOG", "xt_NFLOG nfnetlink_log"),
    ),
    Probe(
        "vlan",
        "optional",
        vlans_work,
        "links of VLAN attachments are untagged",
        kernel("CONFIG_VLAN_8021Q", "8021q"),
    ),
    Probe(
        "tun",
        "optional",
        trying(step("ip tuntap add dev tb0 mode tun")),
        "no VPN tunnels, unless the kernel has ESP",
        kernel("CONFIG_TUN", "tun"),
    ),
    Probe(
        "xt_policy",
        "optional",
        trying(rule("filter", "-A FORWARD -m policy --dir out --pol none -j DROP")),
        "no classic VPN gateways: they could not tell what goes by unencrypted",
        kernel("CONFIG_NETFILTER_XT_MATCH_POLICY", "xt_policy"),
    ),
    Probe(
        "esp",
        "optional",
        trying(ESP),
        "IPsec runs in user space over a TUN device: VPN tunnels work, but are slower",
        kernel("CONFIG_INET_ESP, CONFIG_CRYPTO_GCM", "esp4"),
    ),
    Probe("ip(8)", "required", on_path("ip"), NO_TESTBED, "apt install iproute2"),
    Probe("iptables-restore(8)", "required", on_path("iptables-restore"), NO_TESTBED, "apt install iptables"),
    Probe("ipset(8)", "required", on_path("ipset"), NO_TESTBED, "apt install ipset"),
)


def probe() -> list[Capability]:
    """Try everything.  Takes well under a second and leaves nothing but the modules that the kernel chose to load."""
    return [each.capability() for each in PROBES]
