"""Which values and which labelled rows can be used: one rule for CLI, trainer, evaluator, serving, router and monitor.

| a value is | rule |
|---|---|
| blank | only spaces, tabs and line breaks |
| missing in a file's column of numbers, booleans or timestamps | blank, or one of MISSING_WORDS in any case |
| missing in a file's column of categories or texts | blank; `NA` is a value there, as it is in a request |
| missing in a file's target of classes | blank, `?`, `NA`, `N/A`, `#N/A`, `NaN`, `null` in any case |
| missing in a request and in a stored row | null |
| a number | the grammar of JSON, also `+1`, `.5` and `5.`; no `1_000`, no digits of other scripts; `00123` is text |
| usable as a number | finite and within float32; any other number is a missing value for every model |
| a label of a classifier | one of the classes of the signature, letter by letter |
| a label of a regression | a usable number |

`values` has the rule for one value in Python, `sql` in ClickHouse SQL, `arrow` for Arrow columns and numpy arrays
(needs the extra `arrow`); `rows` has the rule for rows. Property tests compare the three forms.
"""

from modelyard_contracts.usable.kinds import column_type, strays
from modelyard_contracts.usable.rows import IncompatibleTasks, LabelledRows, labelled_rows, row_problem
from modelyard_contracts.usable.values import (
    LARGEST_NUMBER,
    MISSING_WORDS,
    cell_value,
    has_offset,
    is_missing,
    is_missing_label,
    label_of,
    parse_number,
    parse_timestamp,
    usable_number,
)

__all__ = [
    "LARGEST_NUMBER",
    "MISSING_WORDS",
    "IncompatibleTasks",
    "LabelledRows",
    "cell_value",
    "column_type",
    "has_offset",
    "is_missing",
    "is_missing_label",
    "label_of",
    "labelled_rows",
    "parse_number",
    "parse_timestamp",
    "row_problem",
    "strays",
    "usable_number",
]
