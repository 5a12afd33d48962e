"""The demo of models that were made elsewhere: five kinds, each from a file to a served version."""
