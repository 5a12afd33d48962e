"""The catalogue: search with filters and numbers, models that need care, bills of materials."""

import json

import httpx
import pytest

from modelyard_console.domain.catalogue import Search
from modelyard_console.pages.components import HOSTILE

from .conftest import World

MODEL = {"name": "churn", "revision": 1, "latest_version": 1, "created_at": "2026-11-29T11:00:00Z"}
FACETS = {"framework": {"xgboost": 3}, "license": {"MIT": 2}, "source": {"hub": 1}, "scan_verdict": {"suspicious": 4}}


@pytest.fixture
def catalogue(world: World) -> World:
    world.answers.add("/v1/models", {"items": [MODEL], "next_after": "churn"})
    world.answers.add("/v1/models/facets", FACETS)
    world.sign_in()
    return world


def asked(world: World, path: str) -> httpx.QueryParams:
    """Parameters of the last call."""
    return next(one.url.params for one in reversed(world.answers.asked) if one.url.path == path)


def test_filters_show_numbers_of_models_and_are_passed_on(catalogue: World) -> None:
    page = catalogue.browser.get("/models?license=MIT&framework=xgboost&scan_verdict=suspicious&alias=champion").text
    for shown in ("xgboost (3)", "MIT (2)", "hub (1)", "suspicious (4)", '<option value="MIT" selected>'):
        assert shown in page, shown
    found = asked(catalogue, "/v1/models")
    assert (found["license"], found["framework"], found["alias"]) == ("MIT", "xgboost", "champion")


def test_a_metric_is_compared_once_it_has_a_name_and_a_value(catalogue: World) -> None:
    text = catalogue.browser.get("/models?metric_name=accuracy&metric_sign=%3C%3D&metric_value=0.9").text
    assert asked(catalogue, "/v1/models")["metric"] == "accuracy<=0.9"
    assert "metric_value=0.9" in text.partition('class="pager"')[2], "the next page has the same bound"
    catalogue.browser.get("/models?metric_name=accuracy")
    assert "metric" not in asked(catalogue, "/v1/models")


def test_a_search_that_finds_nothing_says_what_to_do(catalogue: World) -> None:
    catalogue.answers.add("/v1/models", {"items": [], "next_after": None})
    text = catalogue.browser.get("/models?q=zzz").text
    assert "No model fits" in text and "Remove a filter" in text and "Show all models" in text
    assert "Register a model" in catalogue.browser.get("/models").text
    assert Search(metric_sign="<=").narrowed is False


def test_a_bound_that_the_registry_refuses_is_named(catalogue: World) -> None:
    problem = {"title": "Unprocessable", "code": "invalid", "detail": "metric: write NAME>=VALUE or NAME<=VALUE"}
    catalogue.answers.add("/v1/models", httpx.Response(422, json=problem))
    assert "write NAME&gt;=VALUE" in catalogue.browser.get("/models?metric_name=a&metric_value=x").text


def test_a_bound_without_a_metric_asks_for_its_name(catalogue: World) -> None:
    page = catalogue.browser.get("/models?metric_value=0.9").text
    assert 'id="metric-problem" role="status">Metric: name the metric of this value, such as accuracy' in page
    assert 'id="metric-problem" role="status"></p>' in catalogue.browser.get("/models?metric_name=accuracy").text


def test_a_metric_that_no_model_has_is_named_with_known_ones(catalogue: World) -> None:
    catalogue.browser.get("/models?metric_name=acuracy&metric_value=0.9")
    assert len([one for one in catalogue.answers.asked if one.url.path == "/v1/models"]) == 1, "models fit"
    catalogue.answers.add("/v1/models", {"items": [], "next_after": None})
    page = catalogue.browser.get(f"/models?metric_name={HOSTILE}&metric_value=0.9&license=MIT").text
    assert asked(catalogue, "/v1/models")["metric"].endswith(">=-999999999999999")
    assert "license" not in asked(catalogue, "/v1/models")
    assert "Metric: no model has" in page and "balanced_accuracy" in page and HOSTILE not in page


def test_models_that_need_care_are_listed_with_what_to_do(catalogue: World) -> None:
    one = {"model": HOSTILE, "no_owner": True, "no_card": True, "never_live": True, "duplicate": True}
    catalogue.answers.add("/v1/catalogue/problems", {"items": [one], "next_after": "churn"})
    text = catalogue.browser.get("/models-problems?after=a").text
    for shown in ("no owner", "no card", "no traffic", "duplicate", "roll one out", "after=churn"):
        assert shown in text, shown
    assert "<script>document" not in text
    assert asked(catalogue, "/v1/catalogue/problems")["after"] == "a"
    catalogue.answers.add("/v1/catalogue/problems", {"items": [], "next_after": None})
    assert "Nothing to do" in catalogue.browser.get("/models-problems").text


def test_the_bill_of_materials_is_downloaded_as_cyclonedx(catalogue: World) -> None:
    catalogue.answers.add("/v1/models/risk:churn/versions/3/bom", {"bomFormat": "CycloneDX"})
    found = catalogue.browser.get("/models/risk:churn/versions/3/bom")
    assert json.loads(found.text) == {"bomFormat": "CycloneDX"}
    assert found.headers["content-disposition"] == 'attachment; filename="risk-churn-3.cdx.json"'
    assert found.headers["content-type"].startswith("application/vnd.cyclonedx+json")
    assert catalogue.browser.get("/models/risk:churn/versions/4/bom").status_code == 404


def test_a_person_of_another_workspace_gets_no_bill_of_materials(catalogue: World) -> None:
    catalogue.sign_in("risk-key")
    assert catalogue.browser.get("/models/churn/versions/3/bom").status_code == 403


def test_the_owner_is_set_from_the_list_and_from_the_page_of_a_model(catalogue: World) -> None:
    one = {"model": "risk:churn", "no_owner": True}
    catalogue.answers.add("/v1/catalogue/problems", {"items": [one], "next_after": None})
    page = catalogue.browser.get("/models-problems?after=a").text
    assert 'action="/models/risk%3Achurn/owner"' in page and 'name="expected_owner" value=""' in page
    catalogue.answers.add("/v1/models/risk:churn/owner", {**MODEL, "owner": "bob"}, "PUT")
    form = {"csrf": catalogue.csrf(), "owner": " bob ", "expected_owner": "", "reason": "ada left"}
    sent = catalogue.browser.post(
        "/models/risk:churn/owner", data={**form, "back": "/models-problems?after=a"}, follow_redirects=False
    )
    assert (sent.status_code, sent.headers["location"]) == (303, "/models-problems?after=a")
    body = json.loads(catalogue.answers.asked[-1].content)
    assert body == {"owner": "bob", "expected_owner": "", "reason": "ada left"}
    conflict = {"title": "Conflict", "code": "stale_owner", "detail": "the owner is 'eve'", "field": "expected_owner"}
    catalogue.answers.add("/v1/models/risk:churn/owner", httpx.Response(409, json=conflict), "PUT")
    refused = catalogue.browser.post("/models/risk:churn/owner", data=form)
    assert refused.status_code == 409 and "the owner is &#39;eve&#39;" in refused.text


def test_a_viewer_is_not_offered_to_change_an_owner(catalogue: World) -> None:
    catalogue.answers.add("/v1/catalogue/problems", {"items": [{"model": "churn", "no_owner": True}]})
    catalogue.sign_in("viewer-key")
    assert "/owner" not in catalogue.browser.get("/models-problems").text
    answer = catalogue.browser.post("/models/churn/owner", data={"csrf": catalogue.csrf(), "owner": "a", "reason": "b"})
    assert answer.status_code == 403
