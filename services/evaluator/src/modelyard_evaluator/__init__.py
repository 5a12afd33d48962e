"""Champion against challenger on the same pinned rows."""
