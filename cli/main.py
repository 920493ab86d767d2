"""The entry point: finds the command, runs it, and turns errors into messages and exit codes."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from types import ModuleType

COMMANDS = {
    "train": "train a policy on several rewards",
    "sweep": "train for a set of preferences",
    "bench": "compare weighting strategies: a grid of runs, statistics and reports",
    "evaluate": "measure a trained policy on a split",
    "replay": "show which weights other strategies would have set in a run",
    "plot": "draw the pictures of a run again",
    "envs": "list the environments, or one environment's options",
    "weightings": "list the strategies that weigh the objectives, or one strategy's options",
}
"""The commands and what they do; each is the module of the same name, whose `run(arguments)` returns an exit code."""

DONE, FAILED, BAD_USE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: The words behind `paretune`; None takes those the program was started with.

    Returns:
        The exit code: 0 done, 1 failed for a reason outside (such as a full disk), 2 bad use, 130 interrupted.

    Example:
        >>> main(["envs"])  # doctest: +SKIP
        0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return DONE if words else BAD_USE
    if words[0] in ("-V", "--version"):
        print(f"paretune {version('paretune')}")
        return DONE
    try:
        return int(_module(words[0]).run(words[1:]))
    except SystemExit as stop:  # tyro has printed its help or its message
        return stop.code if isinstance(stop.code, int) else BAD_USE
    except KeyboardInterrupt:
        print("paretune: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError) as error:
        if debug:
            traceback.print_exc()
        print(f"paretune: error: {explain(error)}", file=sys.stderr)
        return BAD_USE if isinstance(error, (ValueError, FileNotFoundError)) else FAILED


def usage() -> str:
    """Return the help text of `paretune` itself."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: paretune COMMAND ... [--debug]",
            "",
            "Train language models on several rewards at once, with weights that move while they train.",
            "",
            "commands:",
            *(f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()),
            "",
            "options:",
            "  -h, --help     show this text; behind a command, show that command's options",
            "  -V, --version  show the version",
            "  --debug        show where in the program an error arose",
            "",
            "exit codes: 0 done, 1 failed, 2 bad use, 130 interrupted",
        ]
    )


def explain(error: ValueError | OSError) -> str:
    """Return an error's message; of an error of the operating system, its words and the file's name."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {str(error.filename)!r}" if error.filename else error.strerror
    return str(error)


def _module(command: str) -> ModuleType:
    """Import the module of a command; only then are the heavy libraries that it needs loaded.

    Raises:
        ValueError: If there is no such command.
    """
    if command not in COMMANDS:
        from paretune.envs.suggest import unknown_name  # with gymnasium, which other command lines may do without

        raise ValueError(unknown_name("command", command, COMMANDS))
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if command != "train" and processes > 1:
        raise ValueError(f"command: must be train in several processes, got {command} in {processes}")
    return importlib.import_module(f"paretune.cli.{command}")
