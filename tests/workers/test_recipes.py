"""The recipes for clusters in the README of the workers: they parse, and their commands and options exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from lstm_tune.cli.app import app
from lstm_tune.storage.urls import ENVIRONMENT

README = Path(__file__).parents[2] / "lstm_tune" / "workers" / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="not in a checkout")


def block(language: str) -> str:
    """The one code block of a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(found)


def options_of(words: list[str]) -> dict[str, Any]:
    """What the command line makes of a command."""
    program, name, *rest = words
    assert program == "lstm-tune"
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    return dict(command.make_context(name, rest).params)


def test_a_task_of_the_slurm_array_is_a_worker_that_is_told_of_its_end() -> None:
    first, *lines = block("bash").splitlines()
    assert first == "#!/bin/bash"
    given = [line.removeprefix("#SBATCH --").split("=", 1) for line in lines if line.startswith("#SBATCH")]
    settings = dict(given)
    assert settings["signal"].startswith("B:TERM@")  # B: to the batch script alone, which `exec` makes the worker
    assert "array" in settings
    shell, *words = shlex.split(lines[-1])
    assert shell == "exec"
    words = [word.replace("$SLURM_CPUS_PER_TASK", settings["cpus-per-task"]) for word in words]
    options = options_of(words)
    assert (options["study"], options["storage"], options["workers"]) == ("sales", None, "1")


def test_jobs_of_kubernetes_run_commands_that_exist_with_the_storage_as_a_secret() -> None:
    secret, *jobs = yaml.safe_load_all(block("yaml"))
    assert secret["kind"] == "Secret"
    assert [*secret["stringData"]] == [ENVIRONMENT]
    found = {}
    for job in jobs:
        assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
        pod = job["spec"]["template"]["spec"]
        assert pod["restartPolicy"] == "OnFailure"
        assert pod["terminationGracePeriodSeconds"] >= 30  # what a worker needs to give its trial back is less
        (container,) = pod["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]
        assert {v["name"] for v in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
        assert all(isinstance(word, str) for word in container["command"]), "numbers must be quoted"
        found[job["metadata"]["name"]] = options_of(container["command"])
    tune, worker = found["sales-coordinator"], found["sales-workers"]
    assert (tune["workers"], tune["resume"], tune["storage"], worker["storage"]) == ("0", True, None, None)
    assert tune["study"] == worker["study"]
    assert tune["data"] == worker["data"]
