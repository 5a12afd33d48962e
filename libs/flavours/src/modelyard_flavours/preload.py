"""Import this module in advance, in a parent whose forks load models: it holds what loading one of any flavour needs.

What the flavours keep out of their processes (lean.py) stays out. A flavour whose libraries are not installed is left
out; loading it says what is missing.
"""

from contextlib import suppress

import modelyard_flavours  # noqa: F401  the flavours themselves
from modelyard_flavours.lean import without_unneeded

with without_unneeded("sklearn"), suppress(ImportError):
    import skops.io  # noqa: F401  and, by it, all of scikit-learn
