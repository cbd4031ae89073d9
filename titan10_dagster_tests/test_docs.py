"""README.md and docs/ are correct: their commands and their SQL run, their tables match the code, and their links
exist.

`python -m titan10_dagster_tests.test_docs` updates the tables that are made from the code.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
import dagster as dg
import pytest
from pydantic import BaseModel

from titan10_dagster import settings
from titan10_dagster.candles.gaps import REASONS
from titan10_dagster.candles.rules import RULES
from titan10_dagster.defs.compose import compose
from titan10_dagster.ingest.context import open_context
from titan10_dagster.local.cli import main
from titan10_dagster.local.exit_codes import DONE, EXIT_CODES
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.settings import ExchangeSettings, Settings
from titan10_dagster.store.database import Database
from titan10_dagster_tests.databases import copied_database
from titan10_dagster_tests.store import test_rollups, test_writer

PROJECT = Path(__file__).parents[1]
PAGES = [
    PROJECT / "README.md",
    PROJECT / "CHANGELOG.md",
    PROJECT / "CONTRIBUTING.md",
    PROJECT / "deploy" / "README.md",
    PROJECT / "docs" / "tutorial.md",
    *sorted(page for page in (PROJECT / "docs").rglob("*.md") if page.name != "tutorial.md"),
]
NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language, in the order of the pages."""
    return [block for page in PAGES for block in re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)]


def lines_of(language: str) -> list[str]:
    """Return the distinct lines of all code blocks of a language, without comments."""
    lines = [line.split(" #")[0].strip() for block in blocks(language) for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def statements() -> list[str]:
    found = []
    for block in blocks("sql"):
        for statement in re.sub(r"--.*", "", block).split(";"):
            if statement.strip():
                found.append(" ".join(statement.split()))
    return list(dict.fromkeys(found))


TITAN10 = [line for line in lines_of("sh") if line.startswith((".venv/bin/titan10", "titan10"))]
VARIABLES = [line.removeprefix("export ") for line in lines_of("sh") if re.match(r"(export )?TITAN10_\w+=", line)]


@dataclass
class Project:
    """A project with the repository's own settings, a sandbox in place of Binance, and an empty database."""

    folder: Path
    database_url: str
    environment: dict[str, str]


@pytest.fixture(scope="module")
def project(postgres_url: str, _postgres_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("docs")
    for name in ("titan10.toml", "dagster.yaml"):
        (folder / name).write_text((PROJECT / name).read_text())
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TITAN10_")}
    with copied_database(postgres_url, _postgres_template) as url, Sandbox(["binance"], clock=NOW) as sandbox:
        environment = {
            **inherited,
            "PYTHONPATH": str(PROJECT),
            "TITAN10_DATABASE__URL": url,
            "TITAN10_EXCHANGES__BINANCE__BASE_URL": sandbox.url("binance"),
            "TITAN10_ALERTS__URLS": f"file://{folder}/alerts",
        }
        yield Project(folder, url, environment)


@pytest.fixture(scope="module")
def outcomes(project: Project) -> dict[str, subprocess.CompletedProcess[str]]:
    """Run every command in the order of the pages.

    For example, an export reads candles that an earlier backfill has stored.
    """
    found = {}
    for command in TITAN10:
        found[command] = subprocess.run(
            [sys.executable, "-m", "titan10_dagster.local.cli", *shlex.split(command)[1:]],
            cwd=project.folder,
            env=project.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
    return found


@pytest.mark.timeout(600)
def test_each_command_ends_well(outcomes: dict[str, subprocess.CompletedProcess[str]]) -> None:
    for command, done in outcomes.items():
        assert done.returncode == DONE, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("statement", statements())
def test_each_sql_statement_runs_and_means_utc(project: Project, statement: str) -> None:
    assert re.findall(r"'20\d\d-[^']*'", statement) == re.findall(r"'20\d\d-[^']*Z'", statement)
    db = Database(project.database_url)
    with db.transaction() as cursor:
        cursor.execute(statement)
    db.close()


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("outcomes")
def test_the_python_example_reads_the_candles_that_the_commands_stored(project: Project) -> None:
    (example,) = [block for block in blocks("python") if "import reader" in block]
    names: dict[str, object] = {}
    exec(example.replace("postgresql://...", project.database_url), names)
    assert "close" in names["frame"].columns  # type: ignore[attr-defined]
    assert len(names["frame"]) == 2 * 24 * 60  # type: ignore[arg-type]


def test_python_excerpts_are_in_the_source() -> None:
    source = "".join(path.read_text() for path in (PROJECT / "titan10_dagster").rglob("*.py"))
    excerpts = [block for block in blocks("python") if "import" not in block]
    assert excerpts
    lines = [line.strip() for block in excerpts for line in block.splitlines() if line.strip()]
    assert [line for line in lines if line not in source] == []


@pytest.mark.parametrize("block", blocks("toml"))
def test_each_settings_example_is_valid(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("TITAN10_")]:
        monkeypatch.delenv(variable)
    (tmp_path / "titan10.toml").write_text(block)
    assert settings.load(tmp_path) != Settings()


@pytest.mark.parametrize("line", VARIABLES)
def test_each_environment_variable_is_valid(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("TITAN10_")]:
        monkeypatch.delenv(variable)
    before = settings.load(PROJECT)
    name, value = shlex.split(line)[0].split("=", 1)
    monkeypatch.setenv(name, value)
    assert settings.load(PROJECT) != before or "BINANCE__SYMBOLS" in name


def test_each_make_target_is_documented_and_exists() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    commands = (PROJECT / "docs/reference/commands.md").read_text()
    assert set(re.findall(r"^\| `make (\w+)`", commands, re.MULTILINE)) == set(phony.split()) - {"help"}
    used = {word for line in lines_of("sh") for word in re.findall(r"\bmake (\w+)", line)}
    assert used <= set(phony.split())


def test_each_command_is_documented() -> None:
    commands = (PROJECT / "docs/reference/commands.md").read_text()
    documented = dict(re.findall(r"^\| `titan10 ((?:series )?\w+)([^`]*)`", commands, re.MULTILINE))
    there = dict(main.commands)
    group = there.pop("series")
    assert isinstance(group, click.Group)
    there |= {f"series {name}": command for name, command in group.commands.items()}
    assert set(documented) == set(there)
    for name, usage in documented.items():
        command = there[name]
        options = {
            option for parameter in command.params if isinstance(parameter, click.Option) for option in parameter.opts
        }
        assert set(re.findall(r"--[\w-]+", usage)) == options, name


def test_the_exit_codes_are_documented() -> None:
    documented = re.findall(
        r"^\| (\d+) \| (.*) \|$", (PROJECT / "docs/reference/commands.md").read_text(), re.MULTILINE
    )
    assert [number for number, _ in documented] == re.findall(r"^  (\d+) ", EXIT_CODES, re.MULTILINE)


def test_each_check_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITAN10_DATABASE__URL", "postgresql://127.0.0.1:9/not-used")
    monkeypatch.setenv("TITAN10_EXCHANGES__BINANCE__SOURCES", '["archive", "rest"]')
    loaded = settings.load(PROJECT)
    definitions = compose(open_context(loaded))
    specs = [spec for checks in definitions.asset_checks or () for spec in checks.check_specs]
    for asset in definitions.assets or ():
        if isinstance(asset, dg.AssetsDefinition):
            specs += [spec for spec in asset.check_specs if spec.asset_key.path[0] in loaded.enabled]
    there = {(spec.asset_key.path[-1], spec.name) for spec in specs}
    text = (PROJECT / "docs/reference/checks.md").read_text()
    assert set(re.findall(r"^\| `<exchange>/(\w+)` \| `(\w+)` \|", text, re.MULTILINE)) == there


def test_each_table_and_view_is_documented(database_url: str) -> None:
    db = Database(database_url)
    with db.transaction() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'v')"
            r" AND relname !~ '^(_|yoyo)'"
        )
        there = {name for (name,) in cursor.fetchall()}
    db.close()
    documented = set(re.findall(r"^\| `(\w+)` \|", (PROJECT / "docs/reference/tables.md").read_text(), re.MULTILINE))
    assert documented == there


def settings_table() -> str:
    rows = []
    for section, model in sections():
        for path, default, description in keys(section, model):
            rows.append((f"`{path}`", default, description))
    return table(("key", "default", "meaning"), rows)


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    yield "", Settings
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield f"{name}.", field.annotation
    yield "exchanges.<id>.", ExchangeSettings


def keys(section: str, model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        if field.description is None:
            continue
        if field.is_required():
            default = "required"
        elif field.default is None:
            default = ""
        else:
            default = f"`{field.default}`"
        yield f"{section}{name}", default, field.description


def reasons_table() -> str:
    rows = [
        (f"`{reason.value}`", facts.sentence, "no" if facts.settled else "yes") for reason, facts in REASONS.items()
    ]
    return table(("reason", "meaning", "fetched again"), rows)


def rules_table() -> str:
    return table(("rule", "what is right"), [(f"`{rule.name}`", rule.sentence) for rule in RULES])


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("-",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TABLES = {
    "settings": (PROJECT / "docs/reference/settings.md", settings_table),
    "reasons": (PROJECT / "docs/reference/gap-reasons.md", reasons_table),
    "rules": (PROJECT / "docs/reference/checks.md", rules_table),
}


def updated(name: str) -> str:
    page, make = TABLES[name]
    pattern = rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end of {name} -->)"
    return re.sub(pattern, lambda found: f"{found[1]}\n{make()}\n\n{found[2]}", page.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_the_documentation_match_the_code(name: str) -> None:
    page, make = TABLES[name]
    assert make() in page.read_text(), "python -m titan10_dagster_tests.test_docs updates it"
    assert updated(name) == page.read_text()


# Sentences about limits, and the test that proves each of them.
LIMITS = {
    "Only series of 1m candles have rollups (5m to 1w). A series fetched as 5m or 1h is stored as it is.": (
        "README.md",
        test_rollups.test_other_timeframes_do_not_go_into_rollups,
    ),
    "Decimals with up to 15 digits are therefore exact. A number with more digits is stored as the nearest double.": (
        "docs/explanation/nothing-invented.md",
        test_writer.test_values_of_any_magnitude_come_back_through_the_view_bit_for_bit,
    ),
    "In rollups, sums of volumes are added exactly and rounded once.": (
        "docs/explanation/nothing-invented.md",
        test_rollups.test_volumes_of_every_scale_add_up_without_an_error,
    ),
}


@pytest.mark.parametrize("sentence", LIMITS)
def test_a_limit_that_a_test_proves_is_documented(sentence: str) -> None:
    page, _ = LIMITS[sentence]
    assert sentence in " ".join((PROJECT / page).read_text().split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_pages_use_plain_words(page: Path) -> None:
    words = r"\b(told|tells?|nobody|somebody|whoever|anew|astray|stray(s|ed|ing)?|rotten|perish\w*)\b"
    text = re.sub(r"`[^`]*`", "", page.read_text())
    assert re.findall(words, text) == []


def test_the_index_lists_every_page() -> None:
    index = PROJECT / "docs" / "index.md"
    linked = {(index.parent / link).resolve() for link in re.findall(r"\]\(([^)#]+)\)", index.read_text())}
    assert [page for page in (PROJECT / "docs").rglob("*.md") if page != index and page.resolve() not in linked] == []


def _update() -> None:
    for name, (page, _) in TABLES.items():
        page.write_text(updated(name))


if __name__ == "__main__":
    _update()
