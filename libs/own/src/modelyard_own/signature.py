"""The signature of a model, from its sample, its files and the statements of its owner."""

from collections.abc import Sequence

from modelyard_contracts.inference.errors import shown
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_contracts.tables.inference import task_of
from modelyard_contracts.tables.table import listed
from modelyard_contracts.usable import parse_number
from modelyard_own.description import Description
from modelyard_own.errors import UnfitModel
from modelyard_own.facts import Facts
from modelyard_own.sample import Sample


def signature_of(sample: Sample, stated: Description, facts: Facts) -> Signature:
    """Return the signature; UnfitModel if files, sample and owner contradict each other, or nothing states the task."""
    task = _task(sample, stated, facts)
    classes = _classes(task, sample, stated, facts) if task.classifies else ()
    _check_count(task, classes, facts)
    dimension = _dimension(facts) if task is Task.EMBEDDING else None
    text = list(sample.types.values()) == [ColumnType.TEXT]
    if not task.labelled and not text:
        columns = listed(f"{name} ({type_})" for name, type_ in sample.types.items())
        raise UnfitModel(
            f"{sample.table.path}: a model with the task {task} takes one text, but the sample has the columns "
            f"{columns}; leave the others out"
        )
    return Signature(
        input="text" if text else "columns",
        columns=tuple(Column(name=name, type=type_) for name, type_ in sample.types.items()),
        output=Output(task=task, name=sample.target or "label", classes=classes, dimension=dimension),
    )


def _task(sample: Sample, stated: Description, facts: Facts) -> Task:
    if stated.task is not None:
        if facts.task not in (None, stated.task):
            raise UnfitModel(
                f"--task {stated.task}: the model's file says {facts.task} ({facts.evidence}); leave --task out"
            )
        return stated.task
    if facts.task is not None:
        return facts.task
    if stated.classes:
        return Task.BINARY if len(stated.classes) == 2 else Task.MULTICLASS
    column = sample.target or sample.answers
    if column is None:
        raise UnfitModel(
            f"{sample.table.path}: nothing states whether the model answers classes or numbers; set --task to "
            "binary, multiclass, regression, text or embedding"
        )
    return task_of(sample.table, column, None)


def _dimension(facts: Facts) -> int:
    if facts.dimension is None:
        raise UnfitModel(
            "--task embedding: the size of the model's vectors is not known; such models are served from a folder of "
            "transformers or sentence-transformers with config.json"
        )
    return facts.dimension


def _classes(task: Task, sample: Sample, stated: Description, facts: Facts) -> tuple[str, ...]:
    """The stated classes, else those of the file, else the sorted values of the target or of the recorded answers."""
    found = stated.classes or facts.classes or _seen(sample)
    if not found:
        raise UnfitModel(
            f"{sample.table.path}: the names of the classes are not known; set --classes to "
            "their names in the order of the model's scores, or name the column with the true class by --target"
        )
    if strange := sorted({*_values(sample, sample.target), *_values(sample, sample.answers)} - set(found)):
        raise UnfitModel(
            f"{sample.table.path}: {shown(strange[0])!r} is no class of the model, which has {listed(found)}; correct "
            "the sample, or set --classes to the names in the order of the model's scores"
        )
    return found


def _seen(sample: Sample) -> tuple[str, ...]:
    return in_order({*_values(sample, sample.target), *_values(sample, sample.answers)})


def _values(sample: Sample, column: str | None) -> list[str]:
    return [cell for cell in sample.table.cells(column) if cell] if column else []


def in_order(values: set[str]) -> tuple[str, ...]:
    """Classes in the order that libraries number them: numbers by value, else by letter."""
    numbers = {value: parse_number(value) for value in values}
    if all(number is not None for number in numbers.values()):
        return tuple(sorted(values, key=lambda value: numbers[value] or 0.0))
    return tuple(sorted(values))


def _check_count(task: Task, classes: Sequence[str], facts: Facts) -> None:
    if task.classifies and facts.class_count not in (None, len(classes)):
        raise UnfitModel(
            f"the model's file has {facts.class_count} classes ({facts.evidence}), but {len(classes)} are known: "
            f"{listed(classes)}; set --classes to all names in the order of the model's scores"
        )
