"""How a Modelyard service lives. Imports nothing: take the module you need."""
