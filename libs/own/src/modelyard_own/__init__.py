"""Models that were made elsewhere: from a path and a sample to a registered version. No command line in here."""

from modelyard_own.base import Base, find_base
from modelyard_own.description import DESCRIPTION_FILE, Description
from modelyard_own.errors import UnfitModel
from modelyard_own.manifest import Plan
from modelyard_own.origin import Origin
from modelyard_own.planning import Request, plan_of, stated_in
from modelyard_own.references import api_reference, connected_reference, connection_in, facts_in, image_reference
from modelyard_own.registration import Registered, register_plan

__all__ = [
    "DESCRIPTION_FILE",
    "Base",
    "Description",
    "Origin",
    "Plan",
    "Registered",
    "Request",
    "UnfitModel",
    "api_reference",
    "connected_reference",
    "connection_in",
    "facts_in",
    "find_base",
    "image_reference",
    "plan_of",
    "register_plan",
    "stated_in",
]
