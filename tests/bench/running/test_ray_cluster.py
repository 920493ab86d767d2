"""Cells on a Ray cluster of this machine."""

import pytest

from paretune.bench.running.grid import Grid
from paretune.bench.running.runner import Bench

ray = pytest.importorskip("ray", reason='needs the extra "ray"')

from paretune.bench.running.ray_cluster import RayCluster  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]  # another process would find the cluster
SETTINGS = {"prompts_per_step": 1, "group_size": 4, "lr": 1e-2, "eval_prompts": 1}


@pytest.fixture
def cluster(monkeypatch):
    """A cluster of two processors that lives for one test."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield RayCluster("auto", threads=1)
    ray.shutdown()


def grid(**arguments):
    given = {"envs": ["paretune/TokenConvex-v0"], "agents": ["rloo"], "weightings": ["fixed", "saw"], "seeds": 1}
    return Grid(**(given | {"settings": SETTINGS, "steps": 2} | arguments))


def test_cells_run_on_a_cluster_as_in_processes(cluster, tmp_path, monkeypatch):
    from paretune.bench.running.local import LocalProcesses

    assert cluster.jobs == 2
    monkeypatch.chdir(tmp_path)
    on_ray, here = Bench(grid(), "ray"), Bench(grid(), "here")
    broken = tmp_path / "ray" / "cells" / on_ray.cells[1].name
    broken.mkdir(parents=True)
    (broken / "run").write_text("in the way")
    assert on_ray.run(cluster, threads=1)
    assert "run', which is a file" in on_ray.failures()[0].traceback
    (broken / "run").unlink()
    assert on_ray.run(cluster, threads=1)
    assert on_ray.failures() == []
    assert here.run(LocalProcesses(2), threads=1)
    for first, second in zip(on_ray.outcomes(), here.outcomes(), strict=True):
        assert first.curve == second.curve
        assert first.front == second.front


def test_a_stop_ends_the_cells_on_a_cluster_with_checkpoints(cluster, tmp_path):
    bench = Bench(grid(weightings=["fixed"], steps=50_000), tmp_path)
    work = bench.work(threads=1)
    seen = False

    def stop_requested():
        return work[0].step > 3

    for running in cluster.run(work, stop_requested):
        seen = seen or bool(running)
    assert seen
    assert not work[0].ended
    checkpoints = sorted((work[0].folder / "run" / "checkpoints").iterdir())
    assert checkpoints[-1].name == f"step-{work[0].step:06d}"


def test_no_cluster_at_an_address_is_told():
    with pytest.raises(ValueError, match=r"ray: must be the address of a Ray cluster, got '127\.0\.0\.1:1'"):
        RayCluster("127.0.0.1:1")
    with pytest.raises(ValueError, match="ray: must be the address of a Ray cluster, got 'auto'"):
        RayCluster("auto")
    with pytest.raises(ValueError, match="jobs: must be None or a whole number of at least 1, got 0"):
        RayCluster("auto", jobs=0)
