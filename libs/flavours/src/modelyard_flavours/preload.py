"""Import this module in a parent process whose forks load models: it imports the libraries of all flavours.

Packages that the flavours keep out of their processes (lean.py) stay out. A flavour whose libraries are not installed
is skipped; loading it raises MissingExtra.
"""

from contextlib import suppress

import modelyard_flavours  # noqa: F401  the flavours themselves
from modelyard_flavours.lean import without_unneeded

with without_unneeded("sklearn"), suppress(ImportError):
    import skops.io  # noqa: F401  and, by it, all of scikit-learn
