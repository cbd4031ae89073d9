"""The parts of Dagster's private API that dagster_internals uses, checked against the installed version.

If a test here fails after an upgrade of Dagster, the named module of `dagster_internals` has to be adapted. The other
tests of this folder show whether the adapted module works.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dagster import __version__

ROOT = Path(__file__).parents[2]
# Private parts of Dagster, and the packages of Dagster with classes that Titan-10 subclasses.
PRIVATE = re.compile(r"dagster\._|dagster_(postgres|shared|webserver|graphql)\b")
INTERNALS = ROOT / "titan10_dagster" / "dagster_internals"
INTERNAL_TESTS = ROOT / "titan10_dagster_tests" / "dagster_internals"


@dataclass(frozen=True)
class Reliance:
    """A use of Dagster's private API: `user` calls or overrides `name` of `module` with these parameters.

    `parameters`: None if `name` is not a function.
    """

    user: str
    module: str
    name: str
    parameters: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


RELIANCES = (
    Reliance("backfills", "dagster._core.execution.backfill", "BulkActionsFilter", ("statuses",)),
    Reliance("backfills", "dagster._core.execution.backfill", "BulkActionStatus.REQUESTED"),
    Reliance("backfills", "dagster._core.definitions.assets.job.asset_job", "IMPLICIT_ASSET_JOB_NAME"),
    Reliance("backfills", "dagster", "DagsterInstance.get_backfills", ("filters",)),
    Reliance(
        "check_results",
        "dagster._core.definitions.asset_checks.asset_check_evaluation",
        "AssetCheckEvaluationTargetMaterializationData",
        ("storage_id", "run_id", "timestamp"),
    ),
    Reliance("check_results", "dagster", "AssetCheckExecutionContext.get_step_execution_context", ("self",)),
    Reliance(
        "check_results", "dagster", "DagsterEvent.asset_check_evaluation", ("step_context", "asset_check_evaluation")
    ),
    Reliance("check_results", "dagster", "DagsterInstance.report_dagster_event", ("dagster_event", "run_id")),
    Reliance("code_server", "dagster._cli.api", "grpc_command"),
    Reliance("code_server", "dagster._core.storage.tags", "GRPC_INFO_TAG"),
    Reliance("code_server", "dagster._grpc.server", "DagsterApiServer.__init__"),
    Reliance("commands", "dagster._daemon.cli", "main"),
    Reliance("webserver", "dagster_webserver.cli", "main"),
    Reliance("webserver", "dagster_webserver.cli", "create_app_from_workspace_process_context"),
    Reliance("configuration", "dagster._config", "validate_config", ("config_schema", "config_value")),
    Reliance("configuration", "dagster._config", "resolve_to_config_type"),
    Reliance("configuration", "dagster._core.errors", "DagsterInvalidConfigError"),
    Reliance("configuration", "dagster._core.instance.ref", "InstanceRef.from_dir", ("base_dir", "config_filename")),
    Reliance("configuration", "dagster._core.workspace.config_schema", "ensure_workspace_config"),
    Reliance("configuration", "dagster._serdes", "ConfigurableClassData"),
    Reliance("console_logger", "dagster._loggers", "create_console_logger", ("name", "level")),
    Reliance(
        "console_logger", "dagster._core.definitions.instigation_logger", "create_console_logger", ("name", "level")
    ),
    Reliance("database", "dagster_postgres.run_storage", "PostgresRunStorage.__init__", ("postgres_url",)),
    Reliance("interruption", "dagster._core.errors", "DagsterExecutionInterruptedError"),
    Reliance("interruption", "dagster._core.execution.compute_logs", "subprocess.Popen"),
    Reliance("interruption", "dagster", "ExecuteInProcessResult.all_events"),
    Reliance("launcher", "dagster._core.launcher", "DefaultRunLauncher.check_run_worker_health", ("self", "run")),
    Reliance("launcher", "dagster._core.launcher", "DefaultRunLauncher.supports_check_run_worker_health"),
    Reliance("launcher", "dagster._core.launcher", "WorkerStatus.RUNNING"),
    Reliance("launcher", "dagster._core.launcher", "WorkerStatus.FAILED"),
    Reliance("launcher", "dagster._core.launcher", "CheckRunHealthResult", ("status", "msg")),
    Reliance("launcher", "dagster._core.errors", "DagsterUserCodeUnreachableError"),
    Reliance("launcher", "dagster._core.storage.tags", "GRPC_INFO_TAG"),
    Reliance("launcher", "dagster._grpc.client", "DagsterGrpcClient.__init__", ("port", "socket", "host", "use_ssl")),
    Reliance("launcher", "dagster._grpc.client", "DagsterGrpcClient.get_current_runs", ("self",)),
    Reliance("launcher", "dagster._grpc.types", "GetCurrentRunsResult", ("current_runs",)),
    Reliance("launcher", "dagster._serdes", "deserialize_value"),
    Reliance("run_deletion", "dagster._core.storage.event_log.schema", "AssetEventTagsTable.c.event_id"),
    Reliance("run_deletion", "dagster._core.storage.event_log.schema", "SqlEventLogStorageTable.c.run_id"),
    Reliance("run_deletion", "dagster._core.storage.event_log.schema", "SqlEventLogStorageTable.c.event"),
    Reliance("run_deletion", "dagster._core.storage.runs.schema", "RunsTable.c.run_id"),
    Reliance(
        "run_deletion",
        "dagster._core.storage.event_log.sql_event_log",
        "SqlEventLogStorage.index_connection",
        ("self",),
    ),
    Reliance("run_deletion", "dagster_postgres.event_log", "PostgresEventLogStorage.index_connection", ("self",)),
    Reliance("patience", "dagster_postgres.utils", "DagsterPostgresException"),
    Reliance("schema", "dagster_postgres.utils", "pg_alembic_config", ("dunder_file",)),
    Reliance("schema", "dagster_postgres.run_storage", "run_storage.__file__"),
    Reliance("schema", "dagster_postgres.run_storage", "PostgresRunStorage.migrate"),
    Reliance("schema", "dagster_postgres.event_log", "PostgresEventLogStorage.reindex_assets"),
    Reliance("schema", "dagster_postgres.schedule_storage", "PostgresScheduleStorage.upgrade"),
    Reliance("storage", "dagster._serdes", "ConfigurableClassData"),
    Reliance("storage", "dagster._core.errors", "DagsterRunAlreadyExists"),
    Reliance("storage", "dagster._core.execution.backfill", "PartitionBackfill"),
    Reliance("storage", "dagster._core.storage.base_storage", "DagsterStorage.__init__", ("self",)),
    Reliance("storage", "dagster._core.storage.sqlite_storage", "DagsterSqliteStorage.__init__", ("base_dir",)),
    Reliance("storage", "dagster_postgres.event_log", "PostgresEventLogStorage.store_event", ("self", "event")),
    Reliance("storage", "dagster_postgres.event_log", "PostgresEventLogStorage._connect", ("self",)),
    Reliance("storage", "dagster_postgres.run_storage", "PostgresRunStorage.add_run", ("self", "dagster_run")),
    Reliance(
        "storage", "dagster_postgres.run_storage", "PostgresRunStorage.add_backfill", ("self", "partition_backfill")
    ),
    Reliance(
        "storage",
        "dagster_postgres.schedule_storage",
        "PostgresScheduleStorage.optimize_for_webserver",
        ("self", "statement_timeout", "pool_recycle", "max_overflow"),
    ),
    Reliance("storage", "dagster_postgres.storage", "DagsterPostgresStorage.from_config_value"),
    Reliance("storage", "dagster_postgres.utils", "create_pg_engine"),
    Reliance("storage", "dagster_postgres.utils", "pg_url_from_config", ("config_value",)),
    Reliance("storage", "dagster_postgres.utils", "set_pg_statement_timeout", ("conn", "millis")),
)


@pytest.mark.parametrize("reliance", RELIANCES, ids=str)
def test_dagster_still_has_what_we_rely_on(reliance: Reliance) -> None:
    changed = f"Dagster {__version__} changed {reliance}: adapt titan10_dagster/dagster_internals/{reliance.user}.py."
    try:
        found: object = importlib.import_module(reliance.module)
        for part in reliance.name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        pytest.fail(f"{changed} {error}")
    if reliance.parameters is not None:
        assert callable(found)
        # The constructors of Dagster's records accept any arguments. The names of the fields are in the class.
        names = getattr(found, "_fields", ()) or inspect.signature(found).parameters
        assert set(reliance.parameters) <= set(names), changed


def test_every_private_import_is_in_the_table() -> None:
    for path in sorted(INTERNALS.glob("*.py")):
        for module, name in imports(path):
            if not PRIVATE.match(f"{module}.{name}"):
                continue
            listed = any(
                reliance.user == path.stem and f"{reliance.module}.{reliance.name}.".startswith(f"{module}.{name}.")
                for reliance in RELIANCES
            )
            assert listed, f"Add what {path.name} uses of {module}.{name} to RELIANCES."


def test_only_dagster_internals_imports_dagsters_private_api() -> None:
    offenders = [
        f"{path.relative_to(ROOT)}: {module}.{name}"
        for folder in ("titan10_dagster", "titan10_dagster_tests", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.parent not in {INTERNALS, INTERNAL_TESTS}
        for module, name in imports(path)
        if PRIVATE.match(f"{module}.{name}")
    ]
    assert offenders == [], "Move these imports to titan10_dagster/dagster_internals and add a canary."


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the modules that a file imports, with the imported name; the name is empty for `import module`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield node.module, alias.name
