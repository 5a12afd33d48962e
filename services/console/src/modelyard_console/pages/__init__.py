"""HTML pages: one module per page, all composed from `templates/components.html`."""

from modelyard_console.pages.admin import add_admin
from modelyard_console.pages.alarms import add_alarms
from modelyard_console.pages.approvals import add_approvals
from modelyard_console.pages.components import add_components
from modelyard_console.pages.connections import add_connections
from modelyard_console.pages.dead_letters import add_dead_letters
from modelyard_console.pages.drift import add_drift
from modelyard_console.pages.evaluations import add_evaluations
from modelyard_console.pages.evidence import add_evidence
from modelyard_console.pages.experiments import add_experiments
from modelyard_console.pages.find import add_find
from modelyard_console.pages.keys import add_keys
from modelyard_console.pages.models import add_models
from modelyard_console.pages.models_import import add_models_import
from modelyard_console.pages.models_register import add_models_register
from modelyard_console.pages.models_sync import add_models_sync
from modelyard_console.pages.overview import add_overview
from modelyard_console.pages.policies import add_policies
from modelyard_console.pages.predictions import add_predictions
from modelyard_console.pages.rollouts import add_rollouts
from modelyard_console.pages.routes import add_routes
from modelyard_console.pages.services import add_services
from modelyard_console.pages.switching import add_switching
from modelyard_console.pages.timelines import add_timelines
from modelyard_console.pages.training import add_training
from modelyard_console.pages.training_new import add_training_new
from modelyard_console.pages.value import add_value
from modelyard_console.pages.versions import add_versions

PAGES = (
    add_overview,
    add_models,
    add_models_register,
    add_models_import,
    add_models_sync,
    add_versions,
    add_evidence,
    add_policies,
    add_timelines,
    add_predictions,
    add_find,
    add_value,
    add_switching,
    add_services,
    add_admin,
    add_keys,
    add_connections,
    add_dead_letters,
    add_training_new,
    add_training,
    add_experiments,
    add_evaluations,
    add_approvals,
    add_rollouts,
    add_routes,
    add_drift,
    add_alarms,
    add_components,
)
"""Each adds its pages to an app."""
