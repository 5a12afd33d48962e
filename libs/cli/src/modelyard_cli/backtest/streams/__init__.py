"""Known streams to backtest policies on: real ones out of packages, generated ones with known changes, and controls."""

from modelyard_cli.backtest.streams.catalogue import STREAMS, KnownStream, known_stream

__all__ = ["STREAMS", "KnownStream", "known_stream"]
