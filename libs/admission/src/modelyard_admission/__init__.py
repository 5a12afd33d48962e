"""Recognise, scan and compare model files that others made: bytes in, findings out. Nothing is ever loaded.

The names below are imported on first use, so that the scan process starts without pydantic and numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from modelyard_admission.bom import BomFacts, ml_bom
    from modelyard_admission.errors import AdmissionError, NoModel, SeveralModels
    from modelyard_admission.limits import Limits
    from modelyard_admission.recognition import Recognised, RecognisedFile, recognise
    from modelyard_admission.report import scan, scan_isolated
    from modelyard_admission.summary import RULES_VERSION
    from modelyard_admission.tensors.digests import tensor_digests
    from modelyard_admission.tensors.resemblance import Resemblance, resemblance

__all__ = [
    "RULES_VERSION",
    "AdmissionError",
    "BomFacts",
    "Limits",
    "NoModel",
    "Recognised",
    "RecognisedFile",
    "Resemblance",
    "SeveralModels",
    "ml_bom",
    "recognise",
    "resemblance",
    "scan",
    "scan_isolated",
    "tensor_digests",
]

_HOMES: Final = {
    "bom": {"BomFacts", "ml_bom"},
    "errors": {"AdmissionError", "NoModel", "SeveralModels"},
    "limits": {"Limits"},
    "recognition": {"Recognised", "RecognisedFile", "recognise"},
    "report": {"scan", "scan_isolated"},
    "summary": {"RULES_VERSION"},
    "tensors.digests": {"tensor_digests"},
    "tensors.resemblance": {"Resemblance", "resemblance"},
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"modelyard_admission.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
