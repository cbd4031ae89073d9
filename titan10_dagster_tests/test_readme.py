"""The tables of the README are made from the code: `python -m titan10_dagster_tests.test_readme` writes them anew."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from titan10_dagster.candles.gaps import REASONS
from titan10_dagster.settings import ExchangeSettings, Settings
from titan10_dagster.store.database import Database

README = Path(__file__).parents[1] / "README.md"


def settings_table() -> str:
    rows = [
        (f"`{path}`", default, description)
        for section, model in sections()
        for path, default, description in keys(section, model)
    ]
    return table(("key", "default", "meaning"), rows)


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    yield "", Settings
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield f"{name}.", field.annotation
    yield "exchanges.<id>.", ExchangeSettings


def keys(section: str, model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        if field.description is not None:
            required = field.is_required()
            default = "required" if required else "" if field.default is None else f"`{field.default}`"
            yield f"{section}{name}", default, field.description


def reasons_table() -> str:
    rows = [
        (f"`{reason.value}`", facts.sentence, "no" if facts.settled else "yes") for reason, facts in REASONS.items()
    ]
    return table(("reason", "meaning", "asked for again"), rows)


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("-",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TABLES = {"settings": settings_table, "reasons": reasons_table}


def rewritten(text: str) -> str:
    for name, make in TABLES.items():
        pattern = rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end of {name} -->)"
        text = re.sub(pattern, lambda found, make=make: f"{found[1]}\n{make()}\n\n{found[2]}", text, flags=re.DOTALL)
    return text


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_the_readme_say_what_the_code_says(name: str) -> None:
    text = README.read_text()
    assert TABLES[name]() in text
    assert rewritten(text) == text


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text())
    local = [link for link in links if not link.startswith("http")]
    assert local
    assert [link for link in local if not (README.parent / link).exists()] == []


def test_the_queries_of_the_readme_answer_and_mean_utc_in_whatever_time_zone_the_session_is(database_url: str) -> None:
    queries = "".join(re.findall(r"```sql\n(.*?)```", README.read_text(), flags=re.DOTALL))
    assert len(re.findall(r"'2024-\d\d-\d\dZ'", queries)) == len(re.findall(r"'2024-", queries)) > 0
    db = Database(database_url)
    with db.transaction() as cursor:
        for query in re.sub(r"--.*", "", queries).split(";"):
            if query.strip():
                cursor.execute(query)
    db.close()


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text()))
