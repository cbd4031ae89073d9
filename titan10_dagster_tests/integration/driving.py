"""Functions for tests of automatic work: move the clocks of a world, tick a sensor, run its requests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from titan10_dagster.candles.slices import to_ms
from titan10_dagster.defs.compose import compose
from titan10_dagster_tests.world import World, ticking


def go_to(world: World, instant: datetime) -> None:
    """Move the clocks of the context and of the exchanges."""
    object.__setattr__(world.titan10, "now", ticking(instant))
    world.sandbox.clock.stop_at(to_ms(instant))


def evaluate(world: World, sensor: str = "repair_gaps") -> dg.SensorResult:
    """Evaluate the sensor now."""
    definitions = compose(world.titan10)
    with dg.build_sensor_context(
        instance=world.instance,
        repository_def=definitions.get_repository_def(),
        resources={"titan10": world.titan10},
    ) as context:
        ticked = definitions.resolve_sensor_def(sensor).evaluate_tick(context)
    return dg.SensorResult(run_requests=ticked.run_requests, skip_reason=ticked.skip_message)


def tick(world: World, sensor: str = "repair_gaps") -> Sequence[dg.RunRequest]:
    """Return the runs that the sensor requests now."""
    return evaluate(world, sensor).run_requests or ()


def run(world: World, request: dg.RunRequest) -> bool:
    """Execute a request in the same way as the sensor's job. Return whether the run succeeded."""
    result = (
        compose(world.titan10)
        .resolve_implicit_global_asset_job_def()
        .execute_in_process(
            instance=world.instance,
            asset_selection=list(request.asset_selection or ()),
            run_config=dict(request.run_config),
            tags=dict(request.tags),
            raise_on_error=False,
        )
    )
    return result.success
