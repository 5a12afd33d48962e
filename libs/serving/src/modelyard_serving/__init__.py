"""The model server: one ASGI program that speaks the Open Inference Protocol v2."""
