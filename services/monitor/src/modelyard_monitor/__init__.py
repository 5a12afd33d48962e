"""Predictions into ClickHouse, exactly once; drift out of them."""
