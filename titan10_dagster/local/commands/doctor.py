"""`titan10 doctor`: one line for each check of the installation, with the result and advice."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from titan10_dagster import settings as titan10_settings
from titan10_dagster.errors import SettingsError
from titan10_dagster.local.diagnosis import Finding, Level, all_findings
from titan10_dagster.local.exit_codes import DONE, FAILED, MISUSED
from titan10_dagster.local.printable import printable
from titan10_dagster.local.tables import print_json

MARKS = {Level.OK: ("ok", "green"), Level.WARNING: ("warning", "yellow"), Level.PROBLEM: ("PROBLEM", "red")}


def run_doctor(*, as_json: bool) -> int:
    """Print all findings, and return the exit code: 1 if there is a problem, 2 if the settings are invalid."""
    try:
        settings = titan10_settings.load()
    except SettingsError as error:
        _show(
            [Finding("settings", Level.PROBLEM, f"{error}", "Correct titan10.toml, .env or the environment.")], as_json
        )
        return MISUSED
    findings = [Finding("settings", Level.OK, "titan10.toml, .env and the environment are valid.")]
    findings += all_findings(settings, titan10_settings.home())
    _show(findings, as_json)
    return FAILED if any(finding.level is Level.PROBLEM for finding in findings) else DONE


def line(finding: Finding) -> str:
    """Return a finding as a line of text."""
    advice = f" {finding.advice}" if finding.advice else ""
    return printable(f"{finding.check}: {finding.found}{advice}")


def _show(findings: list[Finding], as_json: bool) -> None:
    if as_json:
        print_json([asdict(finding) for finding in findings])
        return
    for finding in findings:
        word, color = MARKS[finding.level]
        mark = click.style(f"{word:<8}", fg=color) if sys.stdout.isatty() else f"{word:<8}"
        click.echo(f"{mark} {line(finding)}")
