"""With five times as many callers as places, most of the work is still done, and the rest is refused fast."""

from statistics import median

import pytest

from src.config import AppSettings, DatabaseSettings
from tests.application import run_server
from tests.audits.factories import AUDITS, audit_body
from tests.chaos.load import Orders, Report, load

GOOD = (200, 201)
REQUESTS = [
    ("GET", f"{AUDITS}?count=none", None),
    ("POST", AUDITS, audit_body()),
    ("GET", f"{AUDITS}?limit=5", None),
]


@pytest.mark.parametrize("workers", [1, 2])
async def test_under_five_times_the_load_most_of_the_work_is_done_and_the_rest_is_refused_fast(
    database_settings: DatabaseSettings, workers: int
) -> None:
    places = workers * AppSettings().max_in_flight
    url = database_settings.database_url.get_secret_value()
    async with run_server(url, WORKERS=str(workers)) as server:

        async def run(connections: int, seconds: float) -> Report:
            async with load(server.url, Orders(REQUESTS, connections, seconds)) as running:
                report = await running.report()
            print(f"\n{connections} connections: {report.summary()}")
            assert report.latencies.keys() <= {*GOOD, 503}
            if 503 in report.latencies:
                assert report.percentile(503, 0.99) < 500
            return report

        def goodput(report: Report) -> float:
            return sum(map(report.count, GOOD)) / report.seconds

        await run(8, 2)
        # In turns, since a shared machine is faster in one minute than in the next. The medians are compared: the best
        # of several noisy rounds would be a peak that no load keeps up.
        half, full, flood = zip(
            *[[await run(places // 2, 3), await run(places, 3), await run(5 * places, 6)] for _ in range(3)],
            strict=True,
        )
        peak = max(median(map(goodput, reports)) for reports in (half, full))
        share = median(map(goodput, flood)) / peak
        print(f"{share:.0%} of the peak")
        assert share >= 0.75
        assert goodput(await run(places // 2, 4)) >= 0.6 * peak
