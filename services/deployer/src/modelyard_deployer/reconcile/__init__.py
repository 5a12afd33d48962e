"""The reconciler: moves every model towards its requested state."""
