"""The scanner of libs/admission as a port."""

from modelyard_registry.scanning.describing import IsolatedDescriber
from modelyard_registry.scanning.isolated import IsolatedScanner

__all__ = ["IsolatedDescriber", "IsolatedScanner"]
