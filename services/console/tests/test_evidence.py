"""The files of a version: scan, permission, resemblance, what differs; and the prose of its card."""

import json
from typing import Any

import httpx
import pytest

from .conftest import World

NOW = "2026-11-29T11:00:00Z"
HOSTILE = "<script>alert(1)</script>"
BASE = "/v1/models/elec/versions/2"
PAGE = "/models/elec/versions/2"
REFUSED = {"title": "Conflict", "detail": "version 2 was not scanned yet"}


def version(number: int = 2, **fields: Any) -> dict[str, Any]:
    known = {"model": "elec", "version": number, "digest": f"sha256:{number:064d}", "stage": "evaluated"}
    return {**known, "created_at": NOW, "created_by": "anna", "correlation_id": "c", **fields}


def scan(*findings: dict[str, Any], verdict: str = "suspicious", **fields: Any) -> dict[str, Any]:
    files = [{"path": "model.pkl", "size_bytes": 2048, "format": "pickle", "verdict": verdict, "findings": findings}]
    report = {"rules_version": "2026.11", "verdict": verdict, "files": files, **fields}
    return {"report": report, "scanned_at": NOW, "current": True}


def finding(**fields: Any) -> dict[str, Any]:
    known = {"rule": "pickle-global", "verdict": "suspicious", "message": "names shop.features.Ratio"}
    return {**known, "place": "offset 12", "remedy": "save it as skops", **fields}


def prose(**fields: Any) -> dict[str, Any]:
    return {"intended_use": "prices of the next half-hour", "limitations": "", "ethics": "", "notes": "", **fields}


def card(revision: int = 3, **fields: Any) -> dict[str, Any]:
    signature = {"columns": [{"name": "price", "type": "number"}], "output": {"task": "binary", "classes": ["a", "b"]}}
    known = {"model": "elec", "version": 2, "digest": "d", "stage": "evaluated", "task": "binary", "flavour": "sklearn"}
    known |= {"signature": signature, "training": {"recipe": "external"}, "created_at": NOW, "created_by": "anna"}
    return {"card": {**known, "prose": prose(**fields), "prose_revision": revision}, "edited_after_release": False}


@pytest.fixture
def given(world: World) -> World:
    world.sign_in()
    world.answers.add(BASE, version())
    world.answers.add(f"{BASE}/scan", scan(finding()))
    shared = {"model": "acme:other", "version": 3, "digest": "d", "identical": False, "shared_files": 1}
    world.answers.add(f"{BASE}/resemblance", {"items": [shared]})
    world.answers.add(f"{BASE}/card", card())
    revision = {"revision": 3, "prose": prose(), "actor": "rita", "reason": "asked by risk", "written_at": NOW}
    world.answers.add(f"{BASE}/card/revisions", {"items": [revision]})
    return world


def test_a_version_shows_its_scan_with_findings_and_remedies(given: World) -> None:
    page = given.browser.get(PAGE).text
    for shown in (
        "suspicious",
        "names shop.features.Ratio",
        "pickle-global",
        "offset 12",
        "save it as skops",
        "2.0 kB",
    ):
        assert shown in page, shown
    assert 'href="/models/acme%3Aother/versions/3"' in page
    assert "1 files of acme:other@3" in page


def test_a_version_that_was_made_elsewhere_shows_framework_licence_and_source(given: World) -> None:
    page = given.browser.get(PAGE).text
    assert "elsewhere" not in page
    given.answers.add(BASE, version(framework="pytorch", license="Apache-2.0", source_kind="hugging_face"))
    page = given.browser.get(PAGE).text
    for shown in ("pytorch", "Apache-2.0", "elsewhere: hugging face"):
        assert shown in page, shown


def test_a_version_without_a_scan_says_so_and_a_registry_that_is_old_breaks_nothing(given: World) -> None:
    given.answers.add(f"{BASE}/scan", httpx.Response(409, json=REFUSED))
    given.answers.add(f"{BASE}/resemblance", httpx.Response(404, json={"title": "Not Found"}))
    page = given.browser.get(PAGE)
    assert (page.status_code, "Not scanned" in page.text, "was not scanned yet" in page.text) == (200, True, True)


def test_known_vulnerabilities_are_listed_and_a_missing_snapshot_is_no_clean_bill(given: World) -> None:
    given.answers.add(f"{BASE}/scan", scan(verdict="safe_format", dependencies={"checked": 0}))
    page = given.browser.get(PAGE).text
    assert "has no usable snapshot of them" in page and ">incomplete<" in page and ">clean<" not in page
    hole = {"package": "pyyaml", "version": "5.3", "id": "PYSEC-2021-142", "fixed_in": ["5.4"]}
    found = {"snapshot_at": NOW, "checked": 7, "vulnerabilities": [hole]}
    given.answers.add(f"{BASE}/scan", scan(verdict="safe_format", dependencies=found))
    page = given.browser.get(PAGE).text
    assert "PYSEC-2021-142" in page and ">vulnerable<" in page and "0 days ago" in page
    assert "5.4" in page


def test_files_are_scanned_again(given: World) -> None:
    given.answers.add(f"{BASE}/scan", scan(), "POST")
    answer = given.browser.post(f"{PAGE}/scan", data={"csrf": given.csrf()}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)


def test_a_permission_is_granted_with_a_reason(given: World) -> None:
    given.answers.add(f"{BASE}/allow-code", version(), "POST")
    csrf = given.csrf()
    assert given.browser.post(f"{PAGE}/allow-code", data={"csrf": csrf, "reason": " "}).status_code == 422
    form = {"csrf": csrf, "reason": "read line by line"}
    assert given.browser.post(f"{PAGE}/allow-code", data=form, follow_redirects=False).status_code == 303
    assert json.loads(given.answers.asked[-1].content)["reason"] == "read line by line"


def test_the_prose_is_stored_with_the_revision_that_the_person_saw(given: World) -> None:
    page = given.browser.get(f"{PAGE}/card").text
    assert 'name="expected_revision" value="3"' in page
    assert "prices of the next half-hour" in page
    assert "asked by risk" in page
    stored = {"revision": 4, "prose": prose(), "actor": "admin", "reason": "clearer", "written_at": NOW}
    given.answers.add(f"{BASE}/card", stored, "PUT")
    form = {"csrf": given.csrf(), "expected_revision": "3", "intended_use": "a\r\nb", "reason": "clearer"}
    answer = given.browser.post(f"{PAGE}/card", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    sent = json.loads(given.answers.asked[-1].content)
    assert (sent["intended_use"], sent["expected_revision"], sent["reason"]) == ("a\nb", 3, "clearer")


def test_a_second_author_sees_the_conflict_and_loses_no_text(given: World) -> None:
    problem = {"title": "Conflict", "detail": "the card has revision 4, not 3; read it again"}
    given.answers.add(f"{BASE}/card", httpx.Response(409, json=problem), "PUT")
    form = {"csrf": given.csrf(), "expected_revision": "3", "notes": "an hour of work", "reason": "mine"}
    answer = given.browser.post(f"{PAGE}/card", data=form)
    assert answer.status_code == 409
    assert "the card has revision 4" in answer.text
    assert "an hour of work" in answer.text


@pytest.mark.parametrize("changes", [{"expected_revision": "x"}, {"notes": "x" * 20_001}, {"reason": ""}])
def test_a_card_that_cannot_be_stored_is_refused_before_it_is_sent(given: World, changes: dict[str, str]) -> None:
    form = {"csrf": given.csrf(), "expected_revision": "3", "reason": "mine", **changes}
    assert given.browser.post(f"{PAGE}/card", data=form).status_code == 422
    assert not any(request.method == "PUT" for request in given.answers.asked)


def test_two_versions_show_what_differs_in_files_tensors_and_signature(given: World) -> None:
    given.answers.add("/v1/models/elec/versions", {"items": [version(1), version(2)], "next_after": None})
    name = {"model": "elec", "digest": "d"}
    tensors = {"identical_share": 0.81, "identical": 40, "differing": [{"prefix": "classifier.*", "changed": 2}]}
    found = {
        "before": {**name, "version": 1},
        "after": {**name, "version": 2},
        "identical_files": 1,
        "files": [{"path": "config.json", "change": "changed", "bytes_before": 10, "bytes_after": 20}],
        "tensors": tensors,
        "columns": [{"name": "day", "change": "added", "after": "number"}],
        "classes_added": ["flat"],
        "card": ["- old", "+ new"],
    }
    given.answers.add("/v1/models/elec/versions/1/diff", found)
    page = given.browser.get("/models/elec/compare").text
    for shown in ("From v1 to v2", "config.json", "81 %", "classifier.*", "day", "New classes: flat", "+ new"):
        assert shown in page, shown


def test_viewers_see_the_scan_but_no_buttons(given: World) -> None:
    given.sign_in("viewer-key")
    page = given.browser.get(PAGE).text
    assert "pickle-global" in page
    assert "Scan again" not in page
    assert given.browser.get(f"{PAGE}/card").status_code == 403


def test_hostile_findings_and_prose_are_shown_as_text(given: World) -> None:
    found = finding(message=HOSTILE, place=HOSTILE, remedy=HOSTILE, rule=HOSTILE)
    given.answers.add(f"{BASE}/scan", scan(found))
    given.answers.add(f"{BASE}/card", card(notes="</textarea>" + HOSTILE))
    assert HOSTILE not in given.browser.get(PAGE).text
    edit = given.browser.get(f"{PAGE}/card").text
    assert HOSTILE not in edit
    assert edit.count("</textarea>") == 4
