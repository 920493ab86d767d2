"""The real commands on the embedded model, with very small settings."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from paretune.cli.main import main

Capture = pytest.CaptureFixture[str]

SMALL = ["--prompts-per-step", "4", "--group-size", "2", "--eval-prompts", "4", "--eval-every", "1", "--lr", "1e-4"]
SMALL += ["--env-options", "max_tokens=16", "held_out=8"]


def train(folder: Path, *words: str, steps: int = 2) -> int:
    return main(["train", "--out", str(folder), "--steps", str(steps), "--quiet", "--no-pictures", *SMALL, *words])


def metrics(folder: Path) -> list[dict[str, object]]:
    """The lines of a run without what depends on the machine's speed."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "times"} for line in lines]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert train(folder, "--pictures") == 0
    return folder


def test_train_prints_objectives_hypervolume_and_pictures(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "run"
    assert main(["train", "--out", str(folder), "--steps", "2", *SMALL]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0].split() == ["validation", "before", "after", "change"]
    names = ["accuracy", "conciseness", "clarity", "hypervolume of the archive"]
    assert [line.split("  ")[0] for line in lines[1:5]] == names
    assert lines[-3:] == [
        f"run:      {folder}",
        f"picture:  {folder / 'front.png'}",
        f"picture:  {folder / 'weights.png'}",
    ]
    assert (folder / "front.png").exists() and (folder / "weights.png").exists()
    progress = captured.err.splitlines()
    assert progress[0] == "training from step 0 to 2"
    assert [line.split(" | ")[0] for line in progress[1:4]] == ["step 0/2", "step 1/2", "step 2/2"]


@pytest.mark.slow
def test_a_fresh_process_goes_on_with_a_run_and_evaluates_it(tmp_path: Path) -> None:
    def paretune(*words: str) -> str:
        done = subprocess.run([sys.executable, "-m", "paretune.cli", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    out = ["--out", str(tmp_path / "run"), "--quiet"]
    paretune("train", "--env", "deep-sea-treasure-v0", "--agent", "rloo", "--steps", "1", *out)
    paretune("train", "--resume", "--steps", "2", *out)
    assert ", step 2, " in paretune("evaluate", str(tmp_path / "run"))


def test_quiet_prints_nothing(tmp_path: Path, capfd: Capture) -> None:
    assert train(tmp_path / "run", steps=1) == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("agent", ["reinforce", "rloo", "grpo"])
@pytest.mark.parametrize("weighting", ["fixed", "hypervolume", "gradient"])
def test_every_agent_trains_under_every_weighting(tmp_path: Path, agent: str, weighting: str) -> None:
    assert train(tmp_path / "run", "--agent", agent, "--weighting", weighting, steps=1) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["agent"], config["weighting"], config["steps"]) == (agent, weighting, 1)


def test_the_settings_in_the_run_folder_start_the_same_run_again(finished: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert main(["train", "--config", str(finished / "config.json"), "--out", str(again), "--quiet"]) == 0
    assert metrics(again) == metrics(finished)


def test_a_run_goes_on_to_more_steps(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert train(folder, steps=1) == 0
    assert main(["train", "--resume", "--out", str(folder), "--steps", "2", "--quiet"]) == 0
    assert metrics(folder) == metrics(finished)


@pytest.mark.parametrize(("words", "got"), [([], 2), (["--steps", "1"], 1)])
def test_a_complete_run_is_not_resumed_without_more_steps(
    finished: Path, words: list[str], got: int, capsys: Capture
) -> None:
    assert main(["train", "--resume", "--out", str(finished), *words]) == 2
    said = f"is complete, got {got}; --steps N continues it\n"
    assert capsys.readouterr().err.endswith(said)


def test_a_run_is_replaced_only_on_demand(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "run"
    assert train(folder, steps=1) == 0
    assert train(folder, steps=1) == 2
    assert "already holds another run" in capsys.readouterr().err
    assert train(folder, "--overwrite", "--agent", "rloo", steps=1) == 0
    assert json.loads((folder / "config.json").read_text())["agent"] == "rloo"


@pytest.mark.slow
def test_ctrl_c_ends_a_run_with_130_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "paretune.cli", "train", "--out", str(folder), "--steps", "100", *SMALL]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step 2/"):
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"of 100; go on with: paretune train --resume --out {folder}" in out
    assert "Traceback" not in err
    assert 2 <= len(metrics(folder)) - 1 < 100


def test_evaluate_prints_a_table(finished: Path, capsys: Capture) -> None:
    assert main(["evaluate", str(finished), "--split", "test", "--prompts", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{finished}, step 2, 4 test prompts"
    names = ["objective", "accuracy", "conciseness", "clarity", "hypervolume of the policy"]
    assert [line.split("  ")[0] for line in lines[2:]] == names


def test_evaluate_as_json_agrees_with_the_last_validation(finished: Path, capsys: Capture) -> None:
    assert main(["evaluate", str(finished), "--split", "validation", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["folder"], result["step"], result["split"], result["prompts"]) == (
        str(finished),
        2,
        "validation",
        4,
    )
    assert result["objectives"] == metrics(finished)[-1]["validation"]
    product = 1.0
    for entry in result["objectives"].values():
        product *= entry["mean"]
    assert result["hypervolume"] == pytest.approx(product)


def test_evaluate_takes_a_checkpoint_and_samples(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "run"
    assert train(folder, "--keep", "all") == 0
    words = ["evaluate", str(folder), "--checkpoint", "step-000001", "--sampled", "--json"]
    assert main(words) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["step"] == 1
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert main(["evaluate", str(folder), "--checkpoint", "step-000007"]) == 2
    assert "unknown checkpoint 'step-000007'" in capsys.readouterr().err


def test_evaluate_measures_the_front_again(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "run"
    assert main(["train", "--out", str(folder), "--steps", "1", "--no-pictures", "--keep", "front", *SMALL]) == 0
    assert f"on other prompts: paretune evaluate {folder} --front" in capsys.readouterr().out
    assert main(["evaluate", str(folder), "--front", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["split"], result["skipped"], result["prompts"]) == ("validation", 4, 4)
    assert json.loads((folder / "archive.json").read_text())["remeasured"] == {
        name: value for name, value in result.items() if name != "folder"
    }
    assert main(["evaluate", str(folder), "--front"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{folder}, 4 validation prompts behind the first 4: chosen by -> measured again"
    assert [line.split()[0] for line in lines[2:]] == [
        "step",
        *(str(point["step"]) for point in result["points"]),
        "hypervolume",
    ]
    assert f"{result['points'][0]['performance'][1]:.4f} +- " in lines[3]
    assert main(["evaluate", str(folder), "--front", "--checkpoint", "step-000001"]) == 2
    assert "checkpoint: must be left out with --front" in capsys.readouterr().err


def test_plot_draws_again(finished: Path, capsys: Capture) -> None:
    (finished / "front.png").unlink()
    assert main(["plot", str(finished)]) == 0
    assert capsys.readouterr().out.split() == [str(finished / "front.png"), str(finished / "weights.png")]
    assert (finished / "front.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--env", "paretune/Arithmetics-v0"], "'paretune/Arithmetic-v0'"),
        (["--env-options", "term=2"], "'terms'"),
        (["--env-options", "terms=99"], "terms"),
        (["--agent", "gpro"], "did you mean 'grpo'"),
        (["--weighting", "hypervolumes"], "did you mean 'hypervolume'"),
        (["--weighting", "gradient", "--weighting-options", "mue=1"], "did you mean 'mu'"),
        (["--policy", "tiny-maths"], "tiny-math"),
        (["--preference", "0.5", "0.5"], "preference: must have 3 weights"),
        (["--preference", "-1", "1", "1"], "preference"),
        (["--preference", "0", "0", "0"], "preference"),
        (["--group-size", "1"], "group_size: must be at least 2 for grpo"),
        (["--steps", "-5"], "steps: must be a whole number of at least 1, got -5"),
        (["--temperature", "0"], "temperature: must be a finite number above 0, got 0.0"),
        (["--env", "paretune/Math-v0", "--env-options", "dataset=nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_bad_use_is_one_message_and_leaves_no_folder(
    tmp_path: Path, words: list[str], message: str, capsys: Capture
) -> None:
    folder = tmp_path / "run"
    assert main(["train", "--out", str(folder), *words]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("paretune: error: ")
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not folder.exists()


@pytest.mark.parametrize("command", ["evaluate", "plot"])
def test_a_folder_without_a_run_is_bad_use(tmp_path: Path, command: str, capsys: Capture) -> None:
    assert main([command, str(tmp_path)]) == 2
    assert "must be the folder of a run" in capsys.readouterr().err


def test_evaluate_wants_at_least_one_prompt(finished: Path, capsys: Capture) -> None:
    assert main(["evaluate", str(finished), "--prompts", "0"]) == 2
    assert "prompts: must be None or a whole number of at least 1, got 0" in capsys.readouterr().err
