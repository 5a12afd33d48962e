"""Addresses of pages, each written once."""

from urllib.parse import quote, urlencode


def part(value: object) -> str:
    """A name as one part of a path."""
    return quote(str(value), safe="")


def sign_in(wanted: str = "/") -> str:
    return "/sign-in?" + urlencode({"next": wanted})


def model(name: str) -> str:
    return f"/models/{part(name)}"


def version(model_name: str, number: int) -> str:
    return f"{model(model_name)}/versions/{number}"


def bom(model_name: str, number: int) -> str:
    return f"{version(model_name, number)}/bom"


def card(model_name: str, number: int) -> str:
    return f"{version(model_name, number)}/card"


def compare(model_name: str, *versions: int) -> str:
    return f"{model(model_name)}/compare?" + urlencode([("version", number) for number in versions])


def owner(model_name: str) -> str:
    return f"{model(model_name)}/owner"


def policies(model_name: str) -> str:
    return f"{model(model_name)}/policies"


def run(run_id: object) -> str:
    return f"/training/{part(run_id)}"


def experiment(experiment_id: int) -> str:
    return f"/experiments/{experiment_id}"


def experiment_run(experiment_id: int, run_id: str) -> str:
    return f"{experiment(experiment_id)}/runs/{part(run_id)}"


def experiment_file(experiment_id: int, run_id: str, path: str) -> str:
    return f"{experiment_run(experiment_id, run_id)}/files/{quote(path)}"


def evaluation(evaluation_id: object) -> str:
    return f"/evaluations/{part(evaluation_id)}"


APPROVALS = "/approvals"


def approval(model_name: str, number: int) -> str:
    return f"/approvals#{quote(f'{model_name}-{number}', safe='')}"


def decision(model_name: str, number: int, verb: str) -> str:
    return f"{APPROVALS}/{part(model_name)}/{number}/{verb}"


def evaluations(model_name: str) -> str:
    return "/evaluations?" + urlencode({"model": model_name})


def new_evaluation(model_name: str, challenger: int) -> str:
    return "/evaluations/new?" + urlencode({"model": model_name, "challenger": challenger})


def rollout(rollout_id: object) -> str:
    return f"/rollouts/{part(rollout_id)}"


def route(name: str) -> str:
    return f"/routes/{part(name)}"


def send_request(route_name: str) -> str:
    return f"{route(route_name)}/try"


def drift(model_name: str) -> str:
    return f"{model(model_name)}/drift"


def alarm(event_id: object) -> str:
    return f"/alarms/{part(event_id)}"


def timeline(correlation_id: object) -> str:
    return f"/timelines/{part(correlation_id)}"


def prediction(prediction_id: str) -> str:
    return f"/predictions/{part(prediction_id)}"


LABELS = "/labels"


def value(model_name: str = "", window: str = "") -> str:
    given = {name: text for name, text in (("model", model_name), ("window", window)) if text}
    return "/value" + ("?" + urlencode(given) if given else "")


def report(report_id: object) -> str:
    return f"/value/reports/{part(report_id)}"


def switch(report_id: object, policy: str = "") -> str:
    return f"{report(report_id)}/switch" + ("?" + urlencode({"policy": policy}) if policy else "")


def admin() -> str:
    return "/admin"


def services() -> str:
    return "/admin/services"


def workspaces() -> str:
    return "/admin/workspaces"


def keys() -> str:
    return "/admin/keys"


def audit(**filters: str) -> str:
    return "/admin/audit" + ("?" + urlencode(filters) if filters else "")


CONNECTIONS = "/admin/connections"


def connection(name: str) -> str:
    return f"{CONNECTIONS}/{part(name)}"


DEAD_LETTERS = "/admin/dead-letters"


def dead_letters_of(service: str) -> str:
    return f"{DEAD_LETTERS}/{part(service)}"


def upload(upload_id: str) -> str:
    return f"/training/files/{part(upload_id)}"


PROBLEMS = "/models-problems"
REGISTER_MODEL = "/models-register"
"""Not below `/models/`: a model may have any name."""
MODEL_UPLOAD = f"{REGISTER_MODEL}/upload"


IMPORT_MODEL = "/models-import"
IMPORT_LISTING = f"{IMPORT_MODEL}/list"


def model_import(import_id: str) -> str:
    return f"{IMPORT_MODEL}/repositories/{part(import_id)}"


SYNC = "/models-sync"
SYNC_SOURCE = f"{SYNC}/source"
SYNC_MODEL = f"{SYNC}/model"
SYNC_START = f"{SYNC}/start"


def sync_source(source: str) -> str:
    return f"{SYNC_SOURCE}?{urlencode({'source': source})}"


def sync_model(source: str, there: str, model: str = "") -> str:
    given = {"source": source, "there": there, "model": model}
    return f"{SYNC_MODEL}?{urlencode({name: value for name, value in given.items() if value})}"


def sync_run(run_id: str) -> str:
    return f"{SYNC}/runs/{part(run_id)}"


def model_upload(upload_id: str) -> str:
    return f"{REGISTER_MODEL}/files/{part(upload_id)}"


def registration(upload_id: str) -> str:
    return f"{model_upload(upload_id)}/progress"


def compare_runs(*run_ids: object) -> str:
    return "/training/compare?" + urlencode([("run", run_id) for run_id in run_ids])


def safe_next(wanted: str) -> str:
    """A path of this console; `/` for anything that leads elsewhere."""
    local = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if local and "\\" not in wanted else "/"
