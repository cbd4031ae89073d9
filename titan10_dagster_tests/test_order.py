from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
FILES = ("planning/test_pace.py", "planning/test_breaker.py", "candles/test_daily.py", "test_alone.py")


def test_the_tests_of_a_file_run_in_one_process_and_those_that_run_alone_come_last() -> None:
    """If pytest-xdist does not understand pytest's node ids, it ignores groups without a message (pytest-xdist issue
    1386).
    """
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadgroup"]
    command += ["--no-loadscope-reorder", *(str(HERE / file) for file in FILES)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=HERE.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    processes = defaultdict(set)
    for process, group in re.findall(r"\[(gw\d)\] \[ *\d+%\] PASSED .*@(\S+)", done.stdout):
        processes[group].add(process)
    assert set(processes) == {*FILES, "alone"}, done.stdout
    assert all(len(names) == 1 for names in processes.values()), processes
