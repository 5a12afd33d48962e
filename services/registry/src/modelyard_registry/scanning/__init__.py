"""The scanner of libs/admission as a port."""

from modelyard_registry.scanning.describing import IsolatedDescriber
from modelyard_registry.scanning.isolated import IsolatedScanner
from modelyard_registry.scanning.snapshot import OsvSnapshot

__all__ = ["IsolatedDescriber", "IsolatedScanner", "OsvSnapshot"]
