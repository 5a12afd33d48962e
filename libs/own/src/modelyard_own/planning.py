"""From a path to a plan: recognise the model, read its sample, describe both. Loads and runs no model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from modelyard_admission import AdmissionError, Recognised, recognise
from modelyard_contracts.connections import CONNECTION
from modelyard_contracts.external import CONTAINER, EXTERNAL_API, not_served
from modelyard_contracts.manifest import Permissions, Price, Source
from modelyard_contracts.tables.table import Dialect, Table, read_table
from modelyard_own import mlflow
from modelyard_own.adapters import FLAVOUR, Adapter, adapter_of
from modelyard_own.base import Base
from modelyard_own.description import Description, described_in
from modelyard_own.errors import UnfitModel
from modelyard_own.facts import Facts, facts_of
from modelyard_own.facts.transformers import GGUF
from modelyard_own.files import ModelFile, model_files
from modelyard_own.labelled import labelled_of
from modelyard_own.manifest import Plan, latest_change
from modelyard_own.origin import Origin
from modelyard_own.references import bought_facts
from modelyard_own.rows import example_of, reference_of
from modelyard_own.sample import Sample, facts_about, sample_of
from modelyard_own.signature import signature_of

STATE: Final = "torch-state"
"""Flavour of a state dict of torch with a declared class."""
CLASS: Final = "class"
PYTHON: Final = "python"
"""Flavour of a folder with its own `predict.py`."""
CODE: Final = {
    PYTHON: "predict.py is Python code, which runs only with a permission",
    STATE: "the class of the network is Python code, which runs only with a permission",
    CONTAINER: "a container image is code that is not scanned here, which needs a permission",
}
"""Flavours that need the permission for code, and why."""
FOLDERS: Final = frozenset({PYTHON, "transformers"})
"""Flavours whose files together are the model; the others have one model file, as GGUF has."""
SAMPLES: Final = ("sample.csv", "sample.parquet")
"""Names of a sample in the folder of a model, if none is stated."""
FEW_ROWS: Final = 500
"""Rows of the monitor's usual window: a smaller sample is a coarse reference."""


@dataclass(frozen=True)
class Request:
    """What to register. code: permission to run code of the model; network: to open connections; reason: for both.

    origin: of files that were downloaded from a hub; what is stated wins over it. base: of a PEFT adapter, as found by
    `find_base` for `stated_in(request).base`.
    """

    path: Path
    stated: Description = field(default_factory=Description)
    dialect: Dialect = field(default_factory=Dialect)
    code: bool = False
    reason: str = ""
    origin: Origin | None = None
    network: bool = False
    base: Base | None = None


def plan_of(request: Request, now: datetime | None = None) -> Plan:
    """Return the plan of a registration; UnfitModel names what is missing and the remedy."""
    stated = stated_in(request)
    model = _model(request.path)
    adapter = _adapter(request, model, stated)
    flavour = stated.flavour or (FLAVOUR if adapter else model.recognised.flavour) or _refused(model)
    sample_path = _sample_path(request.path, stated)
    files = model_files(model.path, but=sample_path)
    facts = adapter.facts(stated) if adapter else facts_of(flavour, files)
    if flavour == EXTERNAL_API and stated.options.get(CONNECTION):
        facts = bought_facts(stated)
    if stated.task is not None and not stated.task.labelled:
        facts = replace(facts, takes_text=True)
    sample = sample_of(_rows(request, sample_path), stated, facts)
    signature = signature_of(sample, stated, facts)
    if not signature.task.labelled and sample.target is not None:
        sample = replace(sample, target=None)
    return Plan(
        flavour=flavour,
        files=adapter.files(files) if adapter else files,
        stored=adapter.base.files if adapter else (),
        signature=signature,
        source=_source(request, model, stated),
        permissions=_permissions(request, flavour),
        options=_options(model, flavour, files, request.base, stated) | stated.options,
        environment=_environment(model.recognised),
        price=stated.price or Price(),
        reference=reference_of(sample, signature),
        example=example_of(sample, signature),
        sample=facts_about(sample),
        labelled=labelled_of(sample, signature),
        made_at=min(latest_change(files), now or datetime.now(UTC)),
        stated=stated,
        notes=tuple(_notes(sample, facts, flavour, stated.options)),
    )


@dataclass(frozen=True)
class _Model:
    """The model to register; wrapped: it was inside of an MLflow folder."""

    path: Path
    recognised: Recognised
    wrapped: bool = False


def _model(path: Path) -> _Model:
    if (path / mlflow.MLMODEL).is_file():
        inner = mlflow.inner_model(path)
        return _Model(inner, _recognised(inner), wrapped=True)
    return _Model(path, _recognised(path))


def _recognised(path: Path) -> Recognised:
    if not path.exists():
        raise UnfitModel(f"{path}: no such file or folder; give the path of a model")
    try:
        return recognise(path)
    except AdmissionError as error:
        raise UnfitModel(str(error)) from error


def _adapter(request: Request, model: _Model, stated: Description) -> Adapter | None:
    if stated.base and request.base is None:
        raise UnfitModel(f"{request.path}: set --base to {stated.base}, which is not looked up in modelyard.yaml here")
    return adapter_of(model.path, model.recognised.format, request.base)


def _refused(model: _Model) -> str:
    """Raise UnfitModel for a model that no flavour serves."""
    found = model.recognised
    reason, remedy = found.reason or "its format is not known", found.remedy or "Add a predict.py."
    raise UnfitModel(f"{model.path} cannot be served: {reason}. {remedy}")


def stated_in(request: Request) -> Description:
    """Options win over `modelyard.yaml` in the folder."""
    return request.stated.over(described_in(request.path)) if request.path.is_dir() else request.stated


def _sample_path(path: Path, stated: Description) -> Path | None:
    if stated.sample is not None:
        return Path(stated.sample)
    folder = path if path.is_dir() else path.parent
    return next((folder / name for name in SAMPLES if (folder / name).is_file()), None) if path.is_dir() else None


def _rows(request: Request, path: Path | None) -> Table:
    if path is not None:
        return read_table(path, request.dialect, min_columns=1)
    if (request.path / mlflow.MLMODEL).is_file() and (found := mlflow.input_example(request.path)) is not None:
        return found
    raise UnfitModel(
        f"{request.path}: give rows as the model takes them by --sample FILE.csv: they show its columns and types, are "
        "replayed before it serves, and are what live traffic is compared with"
    )


def _options(
    model: _Model, flavour: str, files: tuple[ModelFile, ...], base: Base | None, stated: Description
) -> dict[str, str]:
    """The model file by its name in the manifest, as it was recognised by content; the options of the base."""
    if flavour == STATE and CLASS not in stated.options:
        raise UnfitModel(
            f"{model.path}: set --class to the network's class, such as net:Net for the file net.py beside its weights"
        )
    if flavour in FOLDERS and model.recognised.format != GGUF:
        return dict(base.manifest.options) if base else {}
    main = files[0].path if model.path.is_file() else model.recognised.path
    return {"model": main}


def _permissions(request: Request, flavour: str) -> Permissions:
    wanted = request.code or request.network
    if not request.code and flavour in CODE:
        raise UnfitModel(
            f"{request.path}: {CODE[flavour]}; set --allow-code and --reason if you trust its author and your role may "
            "allow it"
        )
    if wanted and not request.reason.strip():
        raise UnfitModel(
            f"{'--allow-code' if request.code else '--connection'}: set --reason as well; it is kept in the history"
        )
    return Permissions(code=request.code, network=request.network, reason=request.reason) if wanted else Permissions()


def _source(request: Request, model: _Model, stated: Description) -> Source:
    found, origin = model.recognised, request.origin or Origin(request.path.name, "")
    below = (request.base.manifest.source if request.base else None) or Source(kind="files", format="")
    framework = " ".join(part for part in (found.framework, found.framework_version) if part)
    return Source(
        kind=request.origin.kind if request.origin else "mlflow" if model.wrapped else "files",
        format=found.format,
        framework=framework,
        uri=stated.uri or origin.uri,
        revision=stated.revision or origin.revision,
        license=stated.license or origin.license or below.license,
        gated=origin.gated or below.gated,
        base_model=str(request.base) if request.base else stated.base_model or origin.base_model,
        training_data=stated.training_data,
    )


def _environment(found: Recognised) -> dict[str, str]:
    """The framework that wrote the files, as far as they tell."""
    if not found.framework or not found.framework_version:
        return {}
    return {found.framework: found.framework_version}


def _notes(sample: Sample, facts: Facts, flavour: str, options: Mapping[str, str]) -> Iterator[str]:
    if (why := not_served(flavour, options)) is not None:
        yield f"it is registered, but not tried and not served: {why}"
    rows = len(sample.table.rows)
    if rows < FEW_ROWS:
        yield f"{rows} rows are a coarse reference for drift; give {FEW_ROWS} or more, as live traffic looks"
    if sample.answers is None:
        yield "no recorded answers: a column `answer` with the model's own answers would prove that it answers the same"
    if sample.target is None:
        yield "no true classes or values: with a column for --target, the model is compared with a constant answer"
    if facts.class_count and not facts.classes:
        yield f"the file has {facts.class_count} classes without names; the sample or --classes gives their order"
