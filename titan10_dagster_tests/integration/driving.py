"""What the tests of autonomy do to a world: move its clocks, tick the gap sensor, run what it requests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from titan10_dagster.candles.slices import to_ms
from titan10_dagster.defs.compose import compose
from titan10_dagster_tests.integration.conftest import World, ticking


def go_to(world: World, instant: datetime) -> None:
    """Move the clocks of the pipeline and of the exchanges."""
    object.__setattr__(world.pipeline, "now", ticking(instant))
    world.sandbox.clock.stop_at(to_ms(instant))


def tick(world: World) -> Sequence[dg.RunRequest]:
    """What the sensor requests now."""
    definitions = compose(world.pipeline)
    with dg.build_sensor_context(
        instance=world.instance,
        repository_def=definitions.get_repository_def(),
        resources={"titan10": world.pipeline},
    ) as context:
        return definitions.resolve_sensor_def("repair_gaps").evaluate_tick(context).run_requests or ()


def run(world: World, request: dg.RunRequest) -> bool:
    """Execute a request as its job would; whether it succeeded."""
    job = compose(world.pipeline).resolve_job_def("repair")
    result = job.execute_in_process(
        instance=world.instance,
        asset_selection=list(request.asset_selection or ()),
        run_config=dict(request.run_config),
        tags=dict(request.tags),
        raise_on_error=False,
    )
    return result.success
