"""Synthetic populations: invented people with real codes, the same bytes for the same seed."""

from __future__ import annotations

from carepact.generate.bench import bench_events
from carepact.generate.population import PAYERS, PLANS, Made, generate, write

__all__ = ["PAYERS", "PLANS", "Made", "bench_events", "generate", "write"]
