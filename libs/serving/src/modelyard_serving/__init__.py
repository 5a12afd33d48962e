"""The model server: one process serves one model version over the Open Inference Protocol (V2)."""
