"""The registry's API: models, versions and their bytes, aliases, policies, datasets, history, keys."""

from modelyard.registry.admission import AdmissionClient
from modelyard.registry.cards import CardsClient
from modelyard.registry.connections import ConnectionsClient
from modelyard.registry.experiments import ExperimentsClient
from modelyard.registry.keys import KeysClient
from modelyard.registry.models import ModelsClient
from modelyard.registry.overview import OverviewClient
from modelyard.registry.policies import PoliciesClient
from modelyard.registry.resources import ResourcesClient
from modelyard.registry.versions import MANIFEST_FILE, DecisionsClient, VersionsClient

__all__ = ["MANIFEST_FILE", "RegistryClient"]


class RegistryClient(
    VersionsClient,
    AdmissionClient,
    CardsClient,
    DecisionsClient,
    ModelsClient,
    PoliciesClient,
    ResourcesClient,
    KeysClient,
    ExperimentsClient,
    ConnectionsClient,
    OverviewClient,
):
    """The whole API of the registry. `cache_dir` keeps downloaded blobs between downloads; None keeps none."""
