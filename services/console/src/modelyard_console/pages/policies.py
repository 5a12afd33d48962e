"""`/models/{model}/policies`: when a model is retrained, accepted and rolled out, as forms with their history."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, Response

from modelyard import ApiError
from modelyard_console.clients.platform import explained
from modelyard_console.domain import links
from modelyard_console.domain.policy_forms import filled, settings_of
from modelyard_console.domain.policy_sections import sections_of
from modelyard_console.pages.view import Console, Form, View
from modelyard_contracts.policies import POLICIES
from modelyard_runtime.errors import NotFound


def add_policies(app: FastAPI, console: Console) -> None:
    @app.get("/models/{model}/policies", response_class=HTMLResponse)
    def policies(
        model: str, view: Annotated[View, Depends(console.view("read", "policy", over="resource"))], kind: str = "gate"
    ) -> Response:
        """Show one policy of a model as a form, with its revisions."""
        return _form(view, model, _checked(kind))

    @app.post("/models/{model}/policies/{kind}", response_class=HTMLResponse)
    def change(model: str, kind: str, form: Annotated[Form, Depends(console.form("set-policy", "policy"))]) -> Response:
        """Store a new revision, unless another person did since the form was opened."""
        view = form.view
        current = view.io.registry(lambda registry: registry.policy_info(model, _checked(kind))).needed()
        found = filled(kind, form.values, current.document)
        if found.errors is not None:
            return _form(view, model, kind, form.values, found.errors)
        try:
            revision = int(form.text("revision", "0"))
            saved = view.io.registry.client.set_policy(
                model, found.policy, expected_revision=revision, reason=form.text("reason")
            )
        except (ApiError, ValueError) as error:
            problem = explained(error)["detail"] if isinstance(error, ApiError) else "open the page again"
            return _form(view, model, kind, form.values, {"": problem})
        done = f"The {kind} policy of {model} is now revision {saved.revision}."
        return form.finish(done, f"{links.policies(model)}?kind={kind}")


def _checked(kind: str) -> str:
    if kind not in POLICIES:
        raise NotFound(f"there is no policy {kind!r}; there are {', '.join(POLICIES)}")
    return kind


def _form(view: View, model: str, kind: str, values: Any = None, errors: Any = None) -> Response:
    """The form; values: what a person typed, errors: by field, `""` for the whole form."""
    info = view.io.registry(lambda registry: registry.policy_info(model, kind))
    history = view.io.registry(lambda registry: registry.policy_history(model, kind))
    found = info.needed()
    context = {"model": model, "kind": kind, "kinds": list(POLICIES), "info": found, "history": history.part}
    sections = sections_of(kind, settings_of(kind, found.document), errors or ())
    context |= {"sections": sections, "values": values, "errors": errors or {}}
    return view.page("policies.html", 422 if errors else 200, **context)
