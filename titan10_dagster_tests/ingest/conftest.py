"""Worlds: a sandbox, a real database and an instance of Dagster."""

from titan10_dagster_tests.world import make_world  # noqa: F401
