"""Pure code of the pages: values in, values out."""
