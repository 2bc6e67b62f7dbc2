"""Counters for Prometheus: requests by route and status, events by payer and result. Labels name no patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping


class Metrics:
    """What was counted since the start."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._events: Counter[tuple[str, str]] = Counter()
        self._seconds = 0.0

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request answered. `route` is the path's pattern, never the path."""
        self._requests[method, route, status] += 1
        self._seconds += seconds

    def events(self, payer: str, counts: Mapping[str, int]) -> None:
        """What became of events or rows."""
        for result, count in counts.items():
            self._events[payer, result] += count

    def text(self) -> str:
        """In Prometheus' text format."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "# TYPE carepact_gateway_requests_total counter"
        for (method, route, status), count in sorted(self._requests.items()):
            yield f'carepact_gateway_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}'
        yield "# TYPE carepact_gateway_request_seconds_total counter"
        yield f"carepact_gateway_request_seconds_total {self._seconds:.6f}"
        yield "# TYPE carepact_gateway_events_total counter"
        for (payer, result), count in sorted(self._events.items()):
            yield f'carepact_gateway_events_total{{payer="{payer}",result="{result}"}} {count}'
