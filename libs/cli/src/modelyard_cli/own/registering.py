"""modelyard register: a model that was made elsewhere becomes a version, is tried, and in time serves."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from modelyard import ApiError, EvaluationRun, RegistryClient
from modelyard_cli.context import Platform
from modelyard_cli.outcomes import Exit, Outcome, await_release
from modelyard_cli.output import (
    Form,
    FormOption,
    complain,
    complaints,
    console,
    printable,
    progress,
    reports_errors,
    show,
)
from modelyard_cli.own.options import (
    AllowCode,
    Answers,
    Api,
    Arguments,
    Base,
    Classes,
    ClassName,
    ConnectionName,
    Dimension,
    DryRun,
    Flavour,
    FlavourOptions,
    Image,
    License,
    Owner,
    ProviderModel,
    ReasonForCode,
    SampleFile,
    Semver,
    Tags,
    described,
    with_class,
)
from modelyard_cli.own.scanning import PASSING, finding_lines, report_lines, scanned
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError
from modelyard_cli.verbs.options import (
    ColumnTypes,
    Decimal,
    Encoding,
    Follow,
    Separator,
    TargetColumn,
    TaskName,
)
from modelyard_contracts.admission import Finding, ScanReport, ScanVerdict
from modelyard_contracts.documents import read

if TYPE_CHECKING:
    from modelyard_contracts.manifest import Price
    from modelyard_own import Description, Plan, Registered, Request

UPLOAD_TIMEOUT_S: Final = 600.0
"""For one call: at the end of a large upload the registry reads the file again, and finalizing scans it."""
MIB: Final = 1 << 20
INADMISSIBLE: Final = "inadmissible"
"""Code of the registry's refusal after its scan."""


@reports_errors
def register(
    path: Annotated[
        Path, typer.Argument(help="File or folder; left out with --connection and --image.", metavar="PATH")
    ],
    model: Annotated[str, typer.Argument(help="Model: NAME or WORKSPACE:NAME.", metavar="MODEL")] = "",
    image: Image = None,
    api: Api = None,
    connection: ConnectionName = None,
    provider_model: ProviderModel = None,
    dimension: Dimension = None,
    sample: SampleFile = None,
    task: TaskName = None,
    target: TargetColumn = None,
    answers: Answers = None,
    classes: Classes = None,
    column: ColumnTypes = None,
    separator: Separator = ",",
    decimal: Decimal = ".",
    encoding: Encoding = "utf-8",
    base: Base = None,
    flavour: Flavour = None,
    option: FlavourOptions = None,
    class_: ClassName = None,
    arguments: Arguments = None,
    license: License = None,
    owner: Owner = None,
    semver: Semver = None,
    tag: Tags = None,
    allow_code: AllowCode = False,
    reason: ReasonForCode = "",
    dry_run: DryRun = False,
    follow: Follow = True,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Register a model that you have as a file or folder: it is recognised, scanned, uploaded, tried, and can serve.

    With --connection and --provider-model, a model of a provider is registered; the trial calls it once. With --image,
    a container image is registered with its card and permissions; it is not served yet.

    Rows of --sample give columns, types and the reference for drift, and are replayed in a confined process before the
    version may serve. `modelyard.yaml` in the folder states the same facts as the options; options win.

    Exit codes: 0 serves, serves as a canary or waits for an approval (with --no-follow: was registered; with --dry-run:
    would be uploaded); 1 a service refused or did not answer; 2 the model, the sample or an option cannot be used; 4
    the scan or the verdict does not accept it; 5 the rollout failed; 6 the outcome was not known in time.
    """
    from modelyard_own import Request

    stated, dialect = described(
        {
            "target": target,
            "answers": answers,
            "base": base,
            "flavour": flavour,
            "license": license,
            "owner": owner,
            "semver": semver,
        },
        (sample, task, classes),
        (column, option, tag),
        (separator, decimal, encoding),
    )
    stated = with_class(stated, class_, arguments)
    given = [one for one in (image, api, connection) if one is not None]
    if provider_model is not None and connection is None:
        raise StackError("--provider-model: set --connection as well, the connection to its provider")
    if given:
        model = _only_model(path, model, len(given))
        folder = data_dir / "cache" / "references" / model.replace(":", "--")
        request = Request(folder, _sized(stated, dimension), dialect, allow_code, reason)
        bought = _bought(connection, provider_model, api)
        request = _connected(*bought, request, model, data_dir) if bought else _referred(image, api, request)
        follow = follow and bought is not None
    elif model:
        request = Request(path, stated, dialect, code=allow_code, reason=reason)
    else:
        raise StackError("give PATH and MODEL, or MODEL with --connection, --image or --api")
    register_request(request, model, dry_run=dry_run, follow=follow, data_dir=data_dir, output=output)


def _only_model(path: Path, model: str, given: int) -> str:
    """The only argument, which is the model. given: options that take the place of PATH."""
    if model or given > 1:
        raise StackError("give one of PATH, --connection, --image and --api, and MODEL")
    return str(path)


def _sized(stated: "Description", dimension: int | None) -> "Description":
    """What is stated, with the size of the vectors of a model that embeds."""
    from modelyard_contracts.signature import Task

    if dimension is None:
        return stated
    if stated.task is not Task.EMBEDDING:
        raise StackError("--dimension: is for --task embedding")
    return stated.model_copy(update={"options": {**stated.options, "dimension": str(dimension)}})


def _bought(connection: str | None, provider_model: str | None, api: Path | None) -> tuple[str, str] | None:
    """Connection and model of a provider; None for an image, and for a file that states the endpoint itself."""
    from modelyard_own import connection_in

    if connection is None:
        return connection_in(api) if api is not None else None
    if provider_model is None:
        raise StackError("--connection: set --provider-model as well, the id of the model at the provider")
    return connection, provider_model


def _referred(image: str | None, api: Path | None, request: "Request") -> "Request":
    """The request with the document of an image, or of a model behind an API; `path` is the folder of documents."""
    from modelyard_own import api_reference, image_reference

    folder = request.path
    if image is not None:
        path, origin = image_reference(image, folder)
        return replace(request, path=path, origin=origin)
    path, origin, price = api_reference(api or Path(), folder)
    return replace(request, path=path, origin=origin, network=True, stated=_priced(request.stated, price))


def _connected(name: str, provider_model: str, request: "Request", model: str, data_dir: Path) -> "Request":
    """The request for a model that is called through a connection of the workspace of `model`."""
    from modelyard_contracts.connections import CONNECTION
    from modelyard_contracts.references import Reference, workspace_of
    from modelyard_contracts.signature import Task
    from modelyard_own import connected_reference

    reference = name if ":" in name else str(Reference(workspace_of(model), name))
    known = Platform.find(data_dir).registry.connection(reference).document
    path, origin, price = connected_reference(reference, provider_model, known, request.path)
    stated = _priced(request.stated, price)
    options, task = {**stated.options, CONNECTION: reference}, stated.task or Task.TEXT
    stated = stated.model_copy(update={"options": options, "task": task})
    return replace(request, path=path, origin=origin, network=True, stated=stated)


def _priced(stated: "Description", price: "Price | None") -> "Description":
    """What is stated, with a price if none is."""
    return stated if stated.price or price is None else stated.model_copy(update={"price": price})


def register_request(
    request: "Request", model: str, *, dry_run: bool, follow: bool, data_dir: Path, output: Form
) -> None:
    """Scan and plan, then register; exits with the code of the outcome."""
    _check_scan(scanned(request.path), allow_code=request.code)
    plan = _shown_plan(_with_base(request, data_dir))
    if dry_run:
        from modelyard_cli.own.preview import plan_document

        show(output, plan_document(plan), lambda: "nothing was uploaded (--dry-run)")
        return
    _register(Platform.find(data_dir), plan, model, follow=follow, output=output)


def _with_base(request: "Request", data_dir: Path) -> "Request":
    """The request with the version that its adapter was trained on, if one is stated."""
    from modelyard_own import find_base, stated_in

    stated = stated_in(request).base
    if stated is None:
        return request
    return replace(request, base=find_base(Platform.find(data_dir).registry, stated))


def _check_scan(report: ScanReport, *, allow_code: bool) -> None:
    """Show the findings; exit where the registry would refuse the files, before they are uploaded."""
    lines = report_lines(report) if report.verdict not in PASSING else iter([f"scan: {report.verdict.words}"])
    for line in lines:
        complain_plainly(line)
    if report.verdict in PASSING or (allow_code and report.verdict is ScanVerdict.SUSPICIOUS):
        return
    way_out = (
        "set --allow-code and --reason if you trust the author"
        if report.verdict is ScanVerdict.SUSPICIOUS
        else "nothing was loaded or uploaded"
    )
    complain(f"the scan does not accept it ({report.verdict.words}); {way_out}")
    raise typer.Exit(Exit.NOT_ACCEPTED)


def complain_plainly(line: str) -> None:
    complaints.print(printable(line), soft_wrap=True, markup=False, highlight=False)


def _shown_plan(request: "Request") -> "Plan":
    """The plan, shown on stderr as it was understood."""
    from modelyard_cli.own.preview import plan_lines
    from modelyard_own import plan_of

    plan = plan_of(request)
    for line in plan_lines(plan):
        complain_plainly(line)
    return plan


def _register(platform: Platform, plan: "Plan", model: str, *, follow: bool, output: Form) -> None:
    from modelyard_own import register_plan

    with progress(f"registering {model}") as report:
        with RegistryClient(platform.urls["registry"], platform.token, timeout_s=UPLOAD_TIMEOUT_S) as registry:
            done = _accepted(lambda: register_plan(registry, plan, model, report))
        outcome = await_release(platform, model, done.info.version, report) if follow else _registered(done)
        evaluation = _evaluation(platform, model, done.info.version) if follow else None
    found = _document(done, evaluation, outcome)
    show(output, found, lambda: "\n".join(_lines(done, evaluation)))
    if outcome.code is not Exit.DONE:
        complain(outcome.text)
        raise typer.Exit(outcome.code)
    if output is Form.TABLE:
        console.print(printable(outcome.text), soft_wrap=True, markup=False, highlight=False)


def _accepted(call: "Callable[[], Registered]") -> "Registered":
    """The result of a registration; exits with its findings if the registry's scan refuses the files."""
    try:
        return call()
    except ApiError as error:
        if error.code != INADMISSIBLE:
            raise
        found = error.body.get("findings", ())
        for line in finding_lines([(one["file"], read(Finding, one)) for one in found]):
            complain_plainly(line)
        complain(str(error))
        raise typer.Exit(Exit.NOT_ACCEPTED) from error


def _registered(done: "Registered") -> Outcome:
    return Outcome(f"version {done.info.version} is registered; see `modelyard history {done.info.model}`")


def _evaluation(platform: Platform, model: str, version: int) -> EvaluationRun | None:
    return next((it for it in platform.evaluator.evaluations(model) if it.challenger_version == version), None)


def _document(done: "Registered", evaluation: EvaluationRun | None, outcome: Outcome) -> dict[str, Any]:
    return {
        "model": done.info.model,
        "version": done.info.version,
        "digest": done.info.digest,
        "stage": done.info.stage,
        "resembles": list(done.info.resembles),
        "uploaded_bytes": done.uploaded_bytes,
        "skipped_bytes": done.skipped_bytes,
        "evaluation": evaluation.model_dump(mode="json") if evaluation else None,
        "outcome": outcome.text,
    }


def _lines(done: "Registered", evaluation: EvaluationRun | None) -> list[str]:
    """Version, upload, and what the trial measured."""
    there = f", {done.skipped_bytes / MIB:.1f} MiB were there already" if done.skipped_bytes else ""
    lines = [
        f"{done.info.model} version {done.info.version}, {done.info.digest[:19]}: "
        f"{done.uploaded_bytes / MIB:.1f} MiB uploaded{there}"
    ]
    lines += [f"resembles: {other}" for other in done.info.resembles]
    if evaluation is not None and evaluation.verdict is not None:
        lines.append(f"verdict: {str(evaluation.verdict).replace('_', ' ')}")
        lines += [f"  {reason}" for reason in evaluation.reasons]
    return [printable(line) for line in lines]
