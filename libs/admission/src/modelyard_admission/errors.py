"""Errors of this library. Findings about a file are no errors: they are part of the report."""

from collections.abc import Sequence


class AdmissionError(Exception):
    """Base of all errors that this library raises on purpose."""


class NoModel(AdmissionError):
    """No file of the folder is a model."""

    def __init__(self, path: str, files: Sequence[str]) -> None:
        seen = f"it holds {', '.join(files)}" if files else "it is empty"
        super().__init__(
            f"{path} holds no model that can be recognised ({seen}); save one as safetensors, ONNX, skops, "
            f"XGBoost JSON, LightGBM text or a torch.export program, or add a predict.py"
        )
        self.path, self.files = path, tuple(files)


class SeveralModels(AdmissionError):
    """More than one file could be the model."""

    def __init__(self, path: str, candidates: Sequence[str]) -> None:
        super().__init__(
            f"{path} holds {len(candidates)} models: {', '.join(candidates)}; register one of them, "
            f"or add a predict.py that combines them"
        )
        self.path, self.candidates = path, tuple(candidates)


class Malformed(AdmissionError):
    """A file does not follow its format, so that it cannot be checked to the end."""

    def __init__(self, message: str, place: str | None = None) -> None:
        super().__init__(message)
        self.place = place


class Deceptive(Malformed):
    """A file is built so that two readers see different content."""


class LimitReached(Malformed):
    """A limit of the scan was reached before the end of the file."""
