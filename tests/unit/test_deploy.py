"""Templates name commands and options that there are, and keep what they promise."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from pathology.cli.app import app

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
PAGES = sorted([*DEPLOY.iterdir(), ROOT / "docs" / "scaling-out.md"])
PROGRAM: Any = typer.main.get_command(app)


def commands(text: str) -> list[list[str]]:
    """Return the words of every call of the program, without its name."""
    joined = re.sub(r"\\\n[# ]*", " ", text)
    found = []
    for line in joined.splitlines():
        called = re.search(
            r"(?:\bher2|srun \$RUN|her2-ihc:\w+|her2-ihc\.sif)\"? "
            r"(score|merge|status|plan|doctor|export)\b([^`#|&]*)",
            line,
        )
        if called:
            found.append([called[1], *shlex.split(called[2].replace('"$', '"x'), posix=True)])
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_exists(page: Path) -> None:
    calls = commands(page.read_text(encoding="utf-8"))
    assert calls, "no command found: the test reads nothing"
    for name, *words in calls:
        command = PROGRAM.commands[name]
        known = {option for param in command.params for option in param.opts}
        unknown = [word for word in words if re.match(r"--\w", word) and word not in known]
        assert not unknown, f"her2 {name} has no {unknown}"


def test_ray_knows_the_options_that_are_given_to_it() -> None:
    if find_spec("ray") is None:  # not imported here: its warnings are not ours
        pytest.skip("ray is not installed")
    program = Path(sys.executable).with_name("ray")
    done = subprocess.run([program, "start", "--help"], capture_output=True, text=True, check=True)
    used = set()
    for page in PAGES:
        for call in re.findall(r"ray start([^\n#`&;]*)", page.read_text(encoding="utf-8")):
            used |= set(re.findall(r"--[a-z-]+", call))
    assert "--head" in used
    for option in used:
        assert option in done.stdout, option


def test_the_slurm_script_is_shell_and_names_one_number_of_shards() -> None:
    path = DEPLOY / "slurm-array.sh"
    subprocess.run(["bash", "-n", str(path)], check=True)  # noqa: S607
    text = path.read_text()
    tasks = re.search(r"^#SBATCH --array=1-(\d+)$", text, re.MULTILINE)
    shards = re.search(r"SHARDS:-(\d+)", text)
    assert tasks is not None
    assert shards is not None
    assert tasks[1] == shards[1]
    # Words for sbatch stand before the first command, else it does not read them.
    first = text.index("set -euo")
    assert "#SBATCH" not in text[first:]


def test_kubernetes_objects_fit_each_other() -> None:
    objects = list(yaml.safe_load_all((DEPLOY / "ray-kubernetes.yaml").read_text()))
    kinds = {item["kind"]: item for item in objects}
    assert set(kinds) == {"Service", "Job", "Deployment", "NetworkPolicy"}
    pods = [kinds[kind]["spec"]["template"] for kind in ("Job", "Deployment")]
    selector = kinds["Service"]["spec"]["selector"]
    assert selector.items() <= pods[0]["metadata"]["labels"].items()
    assert not selector.items() <= pods[1]["metadata"]["labels"].items()
    policy = kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    head = kinds["Service"]["metadata"]["name"]
    assert f"--address={head}:6379" in pods[1]["spec"]["containers"][0]["args"][0]
    for pod in pods:
        assert policy.items() <= pod["metadata"]["labels"].items()
        (container,) = pod["spec"]["containers"]
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        names = {volume["name"] for volume in pod["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= names
        assert "RAY_AUTH_TOKEN" in {entry["name"] for entry in container["env"]}
        subprocess.run(["sh", "-n"], input=container["args"][0], text=True, check=True)  # noqa: S607


def test_images_are_built_from_the_lock_for_a_user_without_rights() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    stages = dict(re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE))
    names = [name for _, name in re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)]
    assert {"cpu", "cuda"} <= set(names)
    assert stages
    for name in ("cpu", "cuda"):
        stage = text.split(f" AS {name}\n", 1)[1].split("\nFROM ", 1)[0]
        assert "USER 10001:10001" in stage
        assert "her2 doctor" in stage
    assert "--require-hashes --requirement requirements.lock" in text
    for file in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE):
        for part in file.split():
            assert (ROOT / part).exists(), part
    recipe = (DEPLOY / "apptainer.def").read_text()
    files = recipe.split("%files", 1)[1].split("%post", 1)[0]
    for line in files.split("\n"):
        if line.strip():
            assert (ROOT / line.split()[0]).exists(), line
    assert "--require-hashes" in recipe


def test_the_lock_without_cuda_is_the_lock_without_cuda() -> None:
    lock = (ROOT / "requirements.lock").read_text()

    def part(name: str) -> str:
        script = ROOT / "scripts" / "lock_without_cuda.py"
        return subprocess.run(
            [sys.executable, str(script), name],
            input=lock,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    pins = re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE)
    torch, hashed = part("torch"), part("hashed")
    assert torch == "".join(f"{n}=={v}\n" for n, v in pins if n in ("torch", "torchvision"))
    kept = set(re.findall(r"^([a-z0-9-]+)==", hashed, re.MULTILINE))
    gone = {name for name, _ in pins} - kept
    assert {"torch", "torchvision", "triton"} <= gone
    assert all(re.match(r"nvidia-|cuda-|triton|torch", name) for name in gone)
    assert hashed.count("--hash=") > len(kept)
