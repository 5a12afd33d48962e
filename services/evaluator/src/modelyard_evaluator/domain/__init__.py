"""What the evaluator decides: values in, values out. `model`, `verdict` and `stages` need no numpy."""
