"""Network firewall policies: lists of rules that are associated with networks (behaviour 4.1.21).

A global policy is for all NICs of its networks, a regional one for those in its region.  Hierarchical policies are
those of organisations and folders, which the testbed does not have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from testbed.errors import GoogleText
from testbed.model.compute.firewall import Match, read_flag
from testbed.model.core.ranges import Range
from testbed.model.core.resource import (
    ComputeName,
    ComputeResource,
    Constant,
    Enumerated,
    NetworkRef,
    RegionName,
    Resource,
)

Action = Literal["allow", "deny", "goto_next"]
LAST_PRIORITY = 2147483547
"""Of a user's rule; the next hundred are Google's (recalled)."""
_NO_TAGS = "secure tags are Resource Manager's, which has none here; use targetServiceAccounts and ranges"
_NO_NAMES = "the testbed's firewall knows addresses only"


class Layer4Config(Match):
    """A protocol and, for tcp, udp and sctp, ports; as `Match`, with policies' spelling of the protocol."""

    ip_protocol: str = Field(alias="ipProtocol")


class Matcher(Resource):
    """What packets a rule is about: all of it is true of them."""

    not_built: ClassVar = {
        "srcSecureTags": _NO_TAGS,
        **{
            f"{side}{what}": _NO_NAMES
            for side in ("src", "dest")
            for what in (
                "AddressGroups",
                "Fqdns",
                "RegionCodes",
                "ThreatIntelligences",
                "NetworkContext",
                "NetworkType",
            )
        },
        "srcNetworks": _NO_NAMES,
    }

    layer4_configs: tuple[Layer4Config, ...] = Field(min_length=1)
    src_ip_ranges: tuple[Range, ...] = ()
    """Without them, any source (our choice: Google says nothing of ingress rules that have none)."""
    dest_ip_ranges: tuple[Range, ...] = ()

    @field_validator("layer4_configs", mode="before", json_schema_input_type=tuple[Layer4Config, ...] | str)
    @classmethod
    def _read_flags(cls, value: object) -> object:
        return read_flag(value, "ipProtocol")


class PolicyRule(Resource):
    """One rule of a policy; `goto_next` goes on with what is tried after the policy."""

    not_built: ClassVar = {
        "targetSecureTags": _NO_TAGS,
        "securityProfileGroup": "the testbed does not look into connections",
        "tlsInspect": "the testbed does not look into connections",
        "targetForwardingRules": "the testbed has no load balancers",
        "targetResources": "only hierarchical policies have it",
    }
    gcloud: ClassVar = {"target-service-accounts": "targetServiceAccounts"}

    priority: int = Field(ge=0, le=LAST_PRIORITY)
    """No two rules of a policy have the same."""
    direction: Annotated[Literal["INGRESS", "EGRESS"], Enumerated({"IN": "INGRESS", "OUT": "EGRESS"})] = "INGRESS"
    action: Action
    match: Matcher
    target_service_accounts: tuple[str, ...] = ()
    target_type: Annotated[Literal["INSTANCES"], Constant] = "INSTANCES"
    disabled: bool = False
    enable_logging: bool = False
    rule_name: str = ""
    description: str = ""

    @model_validator(mode="after")
    def _what_is_handed_on_is_not_logged(self) -> Self:
        if self.enable_logging and self.action == "goto_next":
            raise ValueError("enableLogging: goto_next rules cannot be logged")
        return self

    def is_for(self, accounts: Collection[str]) -> bool:
        """Whether a NIC whose instance runs as one of these accounts is a target; without targets all are."""
        return not self.target_service_accounts or not {*self.target_service_accounts}.isdisjoint(accounts)


class Association(Resource):
    """A network that a policy applies to."""

    not_built: ClassVar = {"priority": "a network has one global policy and one for each region: there is no order"}
    gcloud: ClassVar = {"network": "attachmentTarget"}

    name: ComputeName
    attachment_target: NetworkRef


class NetworkFirewallPolicy(ComputeResource):
    """A policy for all of a network."""

    collection: ClassVar[str] = "global/firewallPolicies"
    not_built: ClassVar = {"packetMirroringRules": "the testbed mirrors no packets"}

    policy_type: Annotated[Literal["VPC_POLICY"], Constant] = "VPC_POLICY"
    rules: tuple[PolicyRule, ...] = ()
    associations: tuple[Association, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(count > 1 for count in Counter(rule.priority for rule in self.rules).values()):
            raise ValueError(GoogleText("Cannot have rules with the same priorities."))
        if any(count > 1 for count in Counter(one.name for one in self.associations).values()):
            raise ValueError(GoogleText("An association with that name already exists."))
        return self

    @property
    def networks(self) -> tuple[str, ...]:
        """The full names of the networks that it applies to."""
        return tuple(association.attachment_target for association in self.associations)


class RegionNetworkFirewallPolicy(NetworkFirewallPolicy):
    """A policy for what is in one region."""

    collection: ClassVar[str] = "regions/-/firewallPolicies"

    region: RegionName
