"""What is known about the files of a version: scan, permission to run code; and the prose of its card."""

import json
import re
from typing import Annotated, Final

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, Response

from modelyard_console.domain import links
from modelyard_console.pages.view import Console, Form, View
from modelyard_contracts.card import MAX_PROSE_CHARACTERS, CardProse
from modelyard_runtime.errors import Invalid

CYCLONEDX: Final = "application/vnd.cyclonedx+json"
SECTIONS: Final = (
    ("intended_use", "Intended use", "For what, by whom, and for what not."),
    ("limitations", "Limitations", "Where its answers are known to be worse."),
    ("ethics", "Ethics", "Groups, harms and what was done about them."),
    ("notes", "Notes", "Anything else that a reader needs."),
)
"""Field of the prose, title, help."""


def add_evidence(app: FastAPI, console: Console) -> None:
    _add_scan(app, console)
    _add_bom(app, console)
    _add_card(app, console)


def _add_scan(app: FastAPI, console: Console) -> None:
    @app.post("/models/{model}/versions/{version}/scan", response_class=HTMLResponse)
    def scan(model: str, version: int, form: Annotated[Form, Depends(console.form("update", "model"))]) -> Response:
        """Scan the files by the rules of today."""
        return form.do(
            lambda io: io.registry.client.scan_now(model, version),
            done=f"The files of version {version} were scanned.",
            then=links.version(model, version),
        )

    @app.post("/models/{model}/versions/{version}/allow-code", response_class=HTMLResponse)
    def allow_code(
        model: str, version: int, form: Annotated[Form, Depends(console.form("allow-code", "model"))]
    ) -> Response:
        """Grant the permissions that the manifest asks for, with a reason."""
        reason = form.required("reason", "Reason")
        return form.do(
            lambda io: io.registry.client.allow_code(model, version, reason),
            done=f"Version {version} of {model} may use what its manifest asks for.",
            then=links.version(model, version),
        )


def _add_bom(app: FastAPI, console: Console) -> None:
    @app.get("/models/{model}/versions/{version}/bom")
    def bom(
        model: str, version: int, view: Annotated[View, Depends(console.view("read", "model", over="resource"))]
    ) -> Response:
        """Download the bill of materials as CycloneDX JSON."""
        found = view.io.registry(lambda registry: registry.bom(model, version)).needed()
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{model}-{version}.cdx.json")
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(json.dumps(found, indent=2), media_type=CYCLONEDX, headers=headers)


def _add_card(app: FastAPI, console: Console) -> None:
    @app.get("/models/{model}/versions/{version}/card", response_class=HTMLResponse)
    def edit(
        model: str, version: int, view: Annotated[View, Depends(console.view("update", "model", over="resource"))]
    ) -> Response:
        """Show the prose to edit, and its revisions."""
        document = view.io.registry(lambda registry: registry.card_document(model, version))
        revisions = view.io.registry(lambda registry: registry.card_revisions(model, version))
        found = document.needed()
        return view.page("card_edit.html", card=found.card, document=found, revisions=revisions.part, sections=SECTIONS)

    @app.post("/models/{model}/versions/{version}/card", response_class=HTMLResponse)
    def save(model: str, version: int, form: Annotated[Form, Depends(console.form("update", "model"))]) -> Response:
        """Store a revision of the prose; a conflict when another person stored one since the page was read."""
        prose, seen, reason = _prose(form), _revision(form), form.required("reason", "Reason")
        return form.do(
            lambda io: io.registry.client.edit_card(model, version, prose, expected_revision=seen, reason=reason),
            done=f"The card of version {version} is stored.",
            then=links.version(model, version),
        )


def _prose(form: Form) -> CardProse:
    texts = {name: form.text(name).replace("\r\n", "\n") for name, _, _ in SECTIONS}
    for name, title, _ in SECTIONS:
        if len(texts[name]) > MAX_PROSE_CHARACTERS:
            raise Invalid(f"{title}: at most {MAX_PROSE_CHARACTERS:,} characters; shorten the text", field=name)
    return CardProse(**texts)


def _revision(form: Form) -> int:
    text = form.required("expected_revision", "Revision")
    if not text.isdecimal():
        raise Invalid("expected_revision: give the revision that the page showed", field="expected_revision")
    return int(text)
