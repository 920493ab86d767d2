"""The command line `paretune train | evaluate | plot | envs`; `paretune COMMAND --help` says more.

In Python it is `paretune.cli.main.main(["train", "--steps", "10"])`, which returns the exit code.
"""
