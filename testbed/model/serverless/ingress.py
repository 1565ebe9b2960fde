"""Ingress settings: from where a workload can be called at its URL (behaviour 3.3.5, 3.8.1).

There are no load balancers, so a service for them as well can be called from the inside only.
"""

from __future__ import annotations

from typing import Annotated, Literal

from testbed.model.core.resource import Enumerated

_RUN, _RUN_ONLY, _RUN_BALANCER = (
    f"INGRESS_TRAFFIC_{word}" for word in ("ALL", "INTERNAL_ONLY", "INTERNAL_LOAD_BALANCER")
)
RunIngress = Annotated[
    Literal["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"],
    Enumerated({"ALL": _RUN, "INTERNAL": _RUN_ONLY, "INTERNAL_AND_CLOUD_LOAD_BALANCING": _RUN_BALANCER}),
]
FunctionIngress = Annotated[
    Literal["ALLOW_ALL", "ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB"],
    Enumerated(
        {
            "ALL": "ALLOW_ALL",
            "INTERNAL_ONLY": "ALLOW_INTERNAL_ONLY",
            "INTERNAL_AND_GCLB": "ALLOW_INTERNAL_AND_GCLB",
        }
    ),
]
_APP, _APP_ONLY, _APP_BALANCER = (
    f"INGRESS_TRAFFIC_ALLOWED_{word}" for word in ("ALL", "INTERNAL_ONLY", "INTERNAL_AND_LB")
)
AppIngress = Annotated[
    Literal[
        "INGRESS_TRAFFIC_ALLOWED_ALL",
        "INGRESS_TRAFFIC_ALLOWED_INTERNAL_ONLY",
        "INGRESS_TRAFFIC_ALLOWED_INTERNAL_AND_LB",
    ],
    Enumerated({"ALL": _APP, "INTERNAL_ONLY": _APP_ONLY, "INTERNAL_AND_CLOUD_LOAD_BALANCING": _APP_BALANCER}),
]

NOT_FOUND, FORBIDDEN = 404, 403
"""How the internet is refused: by Cloud Run, of which functions of the second generation are, and by the others."""


def is_open(setting: str) -> bool:
    """Whether everybody may call."""
    return setting.endswith("_ALL")
