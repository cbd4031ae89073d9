from titan10_dagster_tests.instances import dagsters_url, instance  # noqa: F401
