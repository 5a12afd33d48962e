"""Pages of routes: the plan as a picture, requests, explanations, and specifications with errors at the field."""

import html
import json
import re
from itertools import pairwise
from typing import Any

import httpx
import pytest

from modelyard_console.domain.plan_picture import draw
from modelyard_console.domain.plan_tree import condition, read_plan
from modelyard_contracts.manifest import ManifestFile, ModelManifest
from modelyard_runtime.access import Principal

from .conftest import World

HOSTILE = '<script>alert("x")</script>'
DIGEST = "sha256:" + "ab" * 32


def leaf(version: int, variant: str = "stable", model: str = "churn") -> dict[str, Any]:
    return {
        "kind": "version",
        "model": model,
        "version": version,
        "digest": DIGEST,
        "variant": variant,
        "urls": ["http://127.0.0.1:9000"],
    }


PLAN: dict[str, Any] = {
    "root": {
        "kind": "rules",
        "rules": [
            {
                "name": "gold",
                "when": {
                    "all": [
                        {"compare": {"fact": "feature:plan", "op": "eq", "value": "gold"}},
                        {"not": {"compare": {"fact": "feature:age", "op": "lt", "value": 18.0}}},
                    ]
                },
                "node": leaf(1),
            }
        ],
        "otherwise": {
            "kind": "split",
            "unit": "entity",
            "arms": [
                {"name": "canary", "weight": 0.05, "node": leaf(4, "canary")},
                {"name": "stable", "weight": 0.95, "node": leaf(3)},
            ],
        },
    }
}
SPEC: dict[str, Any] = {"schema_version": 1, "root": {"kind": "model", "model": "churn"}, "timeout_ms": 2000}


def route(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "route": "churn",
        "model": "churn",
        "own": True,
        "sequence": 7,
        "spec": SPEC,
        "plan": PLAN,
        "problem": "",
        "champion_version": 3,
        "previous_version": 2,
        "published_at": "2026-11-29T11:00:00Z",
        "routers": [
            {"router_id": "r-1", "sequence": 7, "accepted": True, "reason": "", "seen_at": "2026-11-29T11:00:01Z"},
            {"router_id": "r-2", "sequence": 6, "accepted": True, "reason": "", "seen_at": "2026-11-29T10:00:00Z"},
        ],
    }
    return given | changes


def manifest(*columns: dict[str, Any], output: dict[str, Any] | None = None) -> httpx.Response:
    file = ManifestFile.write(
        ModelManifest.model_validate(
            {
                "model": "churn",
                "flavour": "skops",
                "files": [{"path": "model.skops", "digest": DIGEST, "size_bytes": 1}],
                "signature": {
                    "columns": columns,
                    "output": output or {"task": "binary", "classes": ["no", "yes"]},
                },
                "reference": {
                    "rows": 100,
                    "features": [
                        {"name": "age", "edges": [20.0, 30.0, 40.0], "counts": [0, 0, 0, 10, 20, 60, 10]},
                        {"name": "plan", "categories": ["basic", "gold"], "counts": [0, 0, 0, 20, 80]},
                    ],
                },
                "training": {"recipe": "gbt"},
            }
        )
    )
    return httpx.Response(200, content=file.data, headers={"x-modelyard-digest": file.digest})


COLUMNS = (
    {"name": "age", "type": "integer"},
    {"name": "plan", "type": "category"},
    {"name": HOSTILE, "type": "number"},
)
ANSWER = {
    "prediction_id": "p-1",
    "model": "churn",
    "version": 3,
    "digest": DIGEST,
    "route": "churn",
    "variant": "stable",
    "class": "yes",
    "score": 0.81,
    "scores": {"no": 0.19, "yes": 0.81},
}
HEADERS = {
    "x-modelyard-rule": "otherwise",
    "x-modelyard-attempts": "2",
    "x-modelyard-cost-usd": "0.0004",
    "x-modelyard-overhead-ms": "0.42",
}
EXPLAINED: dict[str, Any] = {
    "route": "churn",
    "sequence": 7,
    "chosen": {
        "path": "rules:gold",
        "rule": "gold",
        "model": "churn",
        "variant": "stable",
        "version": 1,
        "digest": DIGEST,
        "after": [],
    },
    "fallbacks": [],
    "copies": [],
    "steps": [{"node": "rule", "name": "gold", "matched": True}],
}


@pytest.fixture
def routed(world: World) -> World:
    world.answers.add("/v1/routes", {"items": [route()]})
    world.answers.add("/v1/routes/churn", route())
    world.answers.add("/v1/models/churn/versions/1/manifest", manifest(*COLUMNS))
    world.answers.add("/v1/predict/churn", httpx.Response(200, json=ANSWER, headers=HEADERS), "POST")
    world.answers.add("/v1/routes/churn/explain", EXPLAINED, "POST")
    world.answers.add("/v1/routes/churn", route(), "PUT")
    world.sign_in()
    return world


def text_of(response: Any) -> str:
    """What a reader sees: without tags, entities resolved."""
    return html.unescape(re.sub(r"<[^>]+>", " ", response.text))


def sent(world: World, method: str, path: str) -> Any:
    [*_, last] = [one for one in world.answers.asked if (one.method, one.url.path) == (method, path)]
    return json.loads(last.content)


def test_routes_show_who_answers_and_which_routers_are_behind(routed: World) -> None:
    text = text_of(routed.browser.get("/routes"))
    assert "Rules: churn v1, churn v4, churn v3" in text
    assert "1 of 2" in text


def test_without_routes_the_page_shows_what_to_do_next(world: World) -> None:
    world.answers.add("/v1/routes", {"items": []})
    world.sign_in()
    assert "modelyard train churn" in text_of(world.browser.get("/routes"))


def test_the_list_stays_usable_while_the_deployer_is_away(routed: World) -> None:
    routed.answers.away.add("deployer")
    page = routed.browser.get("/routes")
    assert page.status_code == 200
    assert "The deployer is away" in page.text


def test_the_plan_is_drawn_with_conditions_and_shares(routed: World) -> None:
    page = routed.browser.get("/routes/churn")
    text = text_of(page)
    assert '<svg class="tree"' in page.text
    assert "gold: plan = gold and not (age < 18)" in text
    assert "5 % canary" in text
    assert "an older plan" in text
    assert '/models/churn/versions/4"' in page.text


def test_an_unpublished_specification_is_shown_with_its_reason(routed: World) -> None:
    routed.answers.add("/v1/routes/churn", route(plan=None, problem="version 9 has no ready replica", routers=[]))
    text = text_of(routed.browser.get("/routes/churn"))
    assert "version 9 has no ready replica" in text
    assert "Specification (not published)" in text
    assert "No router has acknowledged" in text


def test_an_unknown_route_is_a_page_of_its_own(routed: World) -> None:
    assert routed.browser.get("/routes/nothing").status_code == 404


def test_every_node_of_a_newer_release_is_shown(routed: World) -> None:
    plan = {"root": {"kind": "lottery", "tickets": [{"kind": "version", "model": HOSTILE, "version": 2}]}}
    routed.answers.add("/v1/routes/churn", route(plan=plan))
    page = routed.browser.get("/routes/churn")
    assert page.status_code == 200
    assert "Lottery" in page.text
    assert HOSTILE not in page.text


def test_boxes_of_a_plan_do_not_overlap() -> None:
    copies = [{"name": f"c{n}", "percent": 50.0, "node": leaf(n)} for n in range(1, 6)]
    members = [{"weight": 0.5, "node": leaf(n)} for n in (7, 8)]
    tree = read_plan(
        {"kind": "shadow", "main": {"kind": "ensemble", "members": members}, "copies": copies},
    )
    assert tree
    picture = draw(tree, {"shadow:main/ensemble:1"})
    places = [(box.x, box.y) for box in picture.boxes]
    rows: dict[int, list[int]] = {}
    for x, y in places:
        rows.setdefault(x, []).append(y)
    for column in rows.values():
        ordered = sorted(column)
        assert all(below - above >= 58 for above, below in pairwise(ordered))
    assert {box.title for box in picture.boxes if box.chosen} == {"Shadow", "Vote", "churn v8"}
    assert picture.width >= max(x for x, _ in places) + 172


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ({"fact": "header:x-country", "op": "in", "value": ["CH", "AT"]}, "header:x-country is one of CH, AT"),
        ({"fact": "entity", "op": "exists"}, "entity is given"),
        ({"any": [{"fact": "text_length", "op": "ge", "value": 10}]}, "text_length ≥ 10"),
        (
            {"all": [{"any": [{"fact": "entity", "op": "prefix", "value": "a"}]}, {"fact": "session", "op": "exists"}]},
            "(entity begins with a) and session is given",
        ),
        ({}, "always"),
        (None, "?"),
    ],
)
def test_conditions_read_as_words(when: Any, words: str) -> None:
    assert condition(when) == words


def test_the_form_is_filled_with_typical_values_of_the_training_data(routed: World) -> None:
    page = routed.browser.get("/routes/churn/try")
    assert 'name="feature:age"' in page.text
    assert re.search(r'name="feature:age"[^>]*value="35"', page.text)
    assert re.search(r'name="feature:plan"[^>]*value="gold"', page.text)
    assert HOSTILE not in page.text


def test_an_answer_shows_version_rule_attempts_latency_and_cost(routed: World) -> None:
    form = {"csrf": routed.csrf(), "feature:age": "41", "feature:plan": "gold", "entity": "42", "headers": "X-Tier: a"}
    page = routed.browser.post("/routes/churn/try", data=form)
    text = text_of(page)
    for expected in ("churn v3", "otherwise", "the last one answered", "0.42 ms in the router", "$0.0004", "p-1"):
        assert expected in text
    assert sent(routed, "POST", "/v1/predict/churn") == {
        "features": {"age": 41, "plan": "gold", HOSTILE: None},
        "entity_key": "42",
    }
    [predicted] = [one for one in routed.answers.asked if one.url.path == "/v1/predict/churn"]
    assert predicted.headers["x-tier"] == "a"
    assert 'value="41"' in page.text


def test_an_answer_has_a_button_per_class_that_sends_the_label(routed: World) -> None:
    routed.answers.add("/v1/models/churn/versions/3/manifest", manifest(*COLUMNS))
    form = {"csrf": routed.csrf(), "feature:age": "41", "feature:plan": "gold"}
    page = routed.browser.post("/routes/churn/try", data=form).text
    for name in ("no", "yes"):
        assert f'<button name="label" value="{name}">{name}</button>' in page
    assert 'name="prediction_id" value="p-1"' in page and 'name="model" value="churn"' in page


def test_a_value_of_the_wrong_type_is_refused_at_its_field_and_nothing_is_sent(routed: World) -> None:
    form = {"csrf": routed.csrf(), "feature:age": "old", "feature:plan": "gold"}
    page = routed.browser.post("/routes/churn/try", data=form)
    assert page.status_code == 422
    assert "age: give a whole number" in page.text
    assert 'value="old"' in page.text
    assert not [one for one in routed.answers.asked if one.url.path.startswith("/v1/predict")]


@pytest.mark.parametrize(("column", "value"), [(HOSTILE, "nan"), (HOSTILE, "1e999"), ("age", "9" * 400)])
def test_numbers_that_no_model_can_take_are_refused(routed: World, column: str, value: str) -> None:
    page = routed.browser.post("/routes/churn/try", data={"csrf": routed.csrf(), f"feature:{column}": value})
    assert page.status_code == 422


def test_headers_of_the_connection_cannot_be_replaced(routed: World) -> None:
    form = {"csrf": routed.csrf(), "headers": "Authorization: Bearer stolen"}
    page = routed.browser.post("/routes/churn/try", data=form)
    assert page.status_code == 422
    assert "authorization is set by the console" in page.text


def test_a_refusal_of_the_router_is_shown_at_the_field_that_it_names(routed: World) -> None:
    problem = {"title": "x", "detail": "age must be 0 or more", "field": "age", "code": "contract"}
    routed.answers.add("/v1/predict/churn", httpx.Response(422, json=problem), "POST")
    page = routed.browser.post("/routes/churn/try", data={"csrf": routed.csrf(), "feature:age": "-1"})
    assert page.status_code == 422
    assert re.search(r'id="e-feature:age">age must be 0 or more', page.text)


def test_an_explanation_marks_the_way_and_calls_nothing(routed: World) -> None:
    form = {"csrf": routed.csrf(), "feature:age": "41", "feature:plan": "gold"}
    page = routed.browser.post("/routes/churn/explain", data=form)
    text = text_of(page)
    assert "would answer" in text
    assert 'class="chosen"' in page.text
    assert sent(routed, "POST", "/v1/routes/churn/explain")["features"]["age"] == 41
    assert not [one for one in routed.answers.asked if one.url.path.startswith("/v1/predict")]


def test_a_vote_is_explained_with_all_its_members(routed: World) -> None:
    members = [{"weight": weight, "node": leaf(version)} for weight, version in ((0.7, 3), (0.3, 1))]
    plan = {"root": {"kind": "ensemble", "combiner": "soft", "quorum": 1, "members": members}}
    step = {"node": "ensemble", "members": [{"path": f"ensemble:{n}", "version": n} for n in range(2)]}
    routed.answers.add("/v1/routes/churn", route(plan=plan))
    routed.answers.add("/v1/models/churn/versions/3/manifest", manifest(*COLUMNS))
    chosen = {**EXPLAINED["chosen"], "path": "ensemble:0", "version": 3}
    routed.answers.add("/v1/routes/churn/explain", {**EXPLAINED, "chosen": chosen, "steps": [step]}, "POST")
    page = routed.browser.post("/routes/churn/explain", data={"csrf": routed.csrf()})
    assert "2 versions would vote; v3 leads" in re.sub(r"\s+", " ", text_of(page))
    assert page.text.count('<g class="chosen"') == 5  # the vote, two members, two ways


def test_a_model_with_very_many_columns_takes_its_row_as_json(routed: World) -> None:
    columns = [{"name": f"c{n}", "type": "number"} for n in range(300)]
    routed.answers.add("/v1/models/churn/versions/1/manifest", manifest(*columns))
    assert '<textarea id="f-row"' in routed.browser.get("/routes/churn/try").text
    routed.browser.post("/routes/churn/try", data={"csrf": routed.csrf(), "row": '{"c1": 2}'})
    assert sent(routed, "POST", "/v1/predict/churn")["features"] == {"c1": 2}
    refused = routed.browser.post("/routes/churn/try", data={"csrf": routed.csrf(), "row": "{c1"})
    assert refused.status_code == 422
    assert "is not JSON" in refused.text


def test_a_viewer_can_neither_send_nor_change(routed: World) -> None:
    routed.sign_in("viewer-key")
    page = routed.browser.get("/routes/churn/try").text
    assert "Send the request" not in page
    assert "Only explain" not in page
    assert "/routes/churn/edit" not in page
    assert "New route" not in routed.browser.get("/routes").text
    assert routed.browser.get("/routes/churn/edit").status_code == 403
    assert routed.browser.post("/routes/churn/try", data={"csrf": routed.csrf()}).status_code == 403


def test_a_release_manager_explains_and_edits(routed: World) -> None:
    routed.principals["manager-key"] = Principal("max", "user", {"default": frozenset({"release-manager"})})
    routed.sign_in("manager-key")
    page = routed.browser.get("/routes/churn/try").text
    assert "Only explain" in page
    assert "Send the request" not in page
    assert "/routes/churn/edit" in page


def seen_of(world: World) -> str:
    return world.browser.get("/routes/churn/edit").text.partition('name="seen" value="')[2].partition('"')[0]


def test_a_changed_specification_is_saved(routed: World) -> None:
    spec = {"root": {"kind": "version", "model": "churn", "version": 3}}
    form = {"csrf": routed.csrf(), "seen": seen_of(routed), "spec": json.dumps(spec)}
    answer = routed.browser.post("/routes/churn/edit", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/routes/churn")
    assert sent(routed, "PUT", "/v1/routes/churn") == spec


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("{", "line 1"),
        ("[]", "must be a JSON object"),
        ('{"root": {"kind": "split", "arms": []}}', "root.arms"),
        ('{"root": {"kind": "version", "model": "churn", "version": 0}}', "root.version"),
        (
            '{"root": {"kind": "fallback", "nodes": [{"kind": "version", "model": "churn", "version": 1, "x": 1}]}}',
            "root.nodes[0].x",
        ),
        ('{"root": {"kind": "rules", "rules": [{"name": "a b", "when": {}}]}}', "root.rules[0].name"),
        (
            '{"root": {"kind": "split", "arms": [{"name": "a", "weight": 2, "node": {"kind": "model"}}]}}',
            "root.arms[0].weight",
        ),
    ],
)
def test_a_wrong_specification_names_the_field_and_is_not_sent(routed: World, spec: str, problem: str) -> None:
    form = {"csrf": routed.csrf(), "seen": seen_of(routed), "spec": spec}
    page = routed.browser.post("/routes/churn/edit", data=form)
    assert page.status_code == 422
    assert problem in text_of(page)
    assert html.escape(spec, quote=False).replace('"', "&#34;") in page.text
    assert not [one for one in routed.answers.asked if one.method == "PUT"]


def test_two_people_who_change_one_route_do_not_overwrite_each_other(routed: World) -> None:
    seen = seen_of(routed)
    other = {"schema_version": 1, "root": {"kind": "version", "model": "churn", "version": 2}}
    routed.answers.add("/v1/routes/churn", route(spec=other))
    page = routed.browser.post(
        "/routes/churn/edit", data={"csrf": routed.csrf(), "seen": seen, "spec": json.dumps(SPEC)}
    )
    assert page.status_code == 409
    assert "was changed since you opened it" in page.text
    assert not [one for one in routed.answers.asked if one.method == "PUT"]


def test_a_refusal_of_the_deployer_keeps_the_text(routed: World) -> None:
    problem = {"title": "x", "detail": "version 9 does not exist", "field": "root.version"}
    routed.answers.add("/v1/routes/churn", httpx.Response(422, json=problem), "PUT")
    form = {"csrf": routed.csrf(), "seen": seen_of(routed), "spec": json.dumps(SPEC)}
    page = routed.browser.post("/routes/churn/edit", data=form)
    assert page.status_code == 422
    assert "version 9 does not exist" in page.text
    assert "timeout_ms" in page.text


def test_a_new_route_needs_a_name_that_is_free(routed: World) -> None:
    routed.answers.add("/v1/routes/churn-safe", route(route="churn-safe"), "PUT")
    assert "Create the route" in routed.browser.get("/routes-new").text
    spec = json.dumps(SPEC)
    nameless = routed.browser.post("/routes-new", data={"csrf": routed.csrf(), "spec": spec})
    taken = routed.browser.post("/routes-new", data={"csrf": routed.csrf(), "name": "churn", "spec": spec})
    made = routed.browser.post(
        "/routes-new", data={"csrf": routed.csrf(), "name": "churn-safe", "spec": spec}, follow_redirects=False
    )
    assert (nameless.status_code, taken.status_code, made.status_code) == (422, 422, 303)
    assert "a route of this name exists" in taken.text
    assert made.headers["location"] == "/routes/churn-safe"


CHURN = {"kind": "model", "model": "churn"}
THIRD = {"kind": "version", "model": "churn", "version": 3}


@pytest.mark.parametrize(
    ("plan", "fields", "root"),
    [
        ("version", {"model-1": "churn", "version-1": "3"}, THIRD),
        ("version", {"model-1": "churn"}, CHURN),
        (
            "split",
            {"model-1": "churn", "version-1": "3", "weight-1": "20", "model-2": "churn", "weight-2": "80"},
            {
                "kind": "split",
                "unit": "entity",
                "arms": [
                    {"name": "churn-v3", "weight": 0.2, "node": THIRD},
                    {"name": "churn", "weight": 0.8, "node": CHURN},
                ],
            },
        ),
        (
            "shadow",
            {"model-1": "churn", "model-2": "churn", "version-2": "3", "weight-2": "10"},
            {"kind": "shadow", "main": CHURN, "copies": [{"name": "churn-v3", "percent": 10.0, "node": THIRD}]},
        ),
        (
            "fallback",
            {"model-1": "churn", "version-1": "3", "model-2": "churn"},
            {"kind": "fallback", "nodes": [THIRD, CHURN], "max_attempts": 2},
        ),
    ],
)
def test_the_common_plans_are_made_by_a_form(
    routed: World, plan: str, fields: dict[str, str], root: dict[str, Any]
) -> None:
    routed.answers.add("/v1/routes/churn-safe", route(route="churn-safe"), "PUT")
    assert "Create the route" in routed.browser.get(f"/routes-new?plan={plan}").text
    form = {"csrf": routed.csrf(), "plan": plan, "name": "churn-safe", **fields}
    made = routed.browser.post("/routes-new", data=form, follow_redirects=False)
    assert made.headers["location"] == "/routes/churn-safe"
    assert sent(routed, "PUT", "/v1/routes/churn-safe") == {"schema_version": 1, "root": root}
    as_json = routed.browser.post("/routes-new", data={**form, "as_json": "yes"}).text
    assert "Specification as JSON" in as_json and html.escape('"kind": "', quote=False).replace('"', "&#34;") in as_json


@pytest.mark.parametrize(
    ("plan", "fields", "field", "problem"),
    [
        ("version", {}, "model-1", "name a model"),
        ("version", {"model-1": "churn", "version-1": "two"}, "version-1", "give the number of a version"),
        ("version", {"model-1": "Not a model!"}, "model-1", ""),
        ("split", {"model-1": "churn", "weight-1": "20", "model-2": "churn", "weight-2": "x"}, "weight-2", "0 to 100"),
        ("split", {"model-1": "a", "weight-1": "20", "model-2": "b", "weight-2": "70"}, "weight-2", "add up to 90"),
        ("split", {"model-1": "a", "weight-1": "20", "model-2": "b", "weight-2": "80", "weight-3": "0"}, "model-3", ""),
        ("shadow", {"model-1": "a", "model-2": "b", "weight-2": "150"}, "weight-2", "from 0 to 100"),
        ("fallback", {"model-1": "a"}, "model-2", "name a model"),
    ],
)
def test_a_mistake_in_the_form_of_a_plan_stands_at_its_field(
    routed: World, plan: str, fields: dict[str, str], field: str, problem: str
) -> None:
    form = {"csrf": routed.csrf(), "plan": plan, "name": "churn-safe", **fields}
    page = routed.browser.post("/routes-new", data=form)
    assert page.status_code == 422
    found = page.text.partition(f'<p class="error" id="e-{field}">')[2].partition("</p>")[0]
    assert found and problem in found
    assert all(f'value="{html.escape(text)}"' in page.text for text in fields.values()), "what was typed is lost"
    assert not any(request.method == "PUT" for request in routed.answers.asked)


def test_a_refusal_of_the_deployer_stands_at_the_field_that_it_is_about(routed: World) -> None:
    problem = {"title": "Unprocessable Entity", "code": "invalid", "field": "root.arms[1].node.version"}
    refused = httpx.Response(422, json={**problem, "detail": "churn has no version 9"})
    routed.answers.add("/v1/routes/churn-safe", refused, "PUT")
    fields = {"model-1": "churn", "weight-1": "50", "model-2": "churn", "version-2": "9", "weight-2": "50"}
    form = {"csrf": routed.csrf(), "plan": "split", "name": "churn-safe", **fields}
    page = routed.browser.post("/routes-new", data=form)
    assert page.status_code == 422
    assert '<p class="error" id="e-version-2">churn has no version 9' in page.text


def test_only_a_route_that_is_not_a_models_own_can_be_deleted(routed: World) -> None:
    assert "Delete the route" not in routed.browser.get("/routes/churn").text
    routed.answers.add("/v1/routes/churn", route(own=False))
    routed.answers.add("/v1/routes/churn", {}, "DELETE")
    assert "Delete the route" in routed.browser.get("/routes/churn").text
    answer = routed.browser.post("/routes/churn/delete", data={"csrf": routed.csrf()}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/routes")
