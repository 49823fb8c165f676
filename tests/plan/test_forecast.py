"""How long what is left will take: from what was measured on the same device, or unknown."""

import json

import pytest

from bench.cli.main import main
from bench.engine import storage as record
from bench.engine.environment import Execution, describe_hardware, resolve_device
from bench.engine.records import RESULTS, Work
from bench.launch.exit_codes import DONE
from bench.launch.job_files import submit
from bench.plan.cells import folder_of
from bench.plan.cost import stage_work
from bench.plan.forecast import (
    NAME,
    Measured,
    Speeds,
    add_speeds,
    network_key,
    read_speeds,
    restore_speeds,
    speed_settings,
)
from bench.plan.plan import plan
from bench.plan.status import plan_status
from bench.suite.suite import read
from tests.support.ablations import write

HERE = {"device": "cpu", "threads": "1"}


def measured(kind="training", method="mdlm", network="small", flops=100.0, seconds=1.0, device=HERE, cell="a"):
    return Measured(cell, "train", kind, method, network, device, flops, seconds)


def forecast(found, method="mdlm", network="small", flops=1000.0, kind="training"):
    return Speeds(found, HERE).forecast([(Work(kind=kind, flops=flops), method, network)])


def test_work_takes_as_long_as_its_method_took_on_this_network():
    found = forecast([measured(), measured("bound", flops=900.0), measured(method="ar", flops=700.0)])
    assert (found.seconds, found.least, found.most, found.unknown) == (10, 10, 10, ())


def test_where_the_method_was_not_measured_any_other_on_the_network_tells():
    found = forecast([measured(method="ar", flops=50.0), measured(method="md4", flops=200.0)])
    assert (found.seconds, found.least, found.most) == (8, 5, 20)  # 250 FLOPs took 2 s
    assert [speed.method for speed in found.speeds] == [""]


@pytest.mark.parametrize("other", [{"network": "tiny"}, {"kind": "bound"}, {"device": HERE | {"threads": "2"}}])
def test_other_networks_kinds_of_work_and_devices_tell_nothing(other):
    assert forecast([measured(**other)]).unknown == ("training",)


def test_measurements_that_differ_make_a_range():
    found = forecast([measured(flops=100.0, seconds=1.0), measured(flops=100.0, seconds=4.0)])
    assert (found.seconds, found.least, found.most) == (25, 10, 40)


def test_work_that_costs_nothing_needs_no_speed():
    assert forecast([], flops=0.0).unknown == ()


def test_a_gpu_does_not_wait_for_threads():
    gpu = {"device": "NVIDIA H200", "threads": "1", "platform": "Linux", "precision": "bfloat16"}
    assert (
        speed_settings(gpu) == speed_settings(gpu | {"threads": "16"}) != speed_settings(gpu | {"precision": "float32"})
    )


@pytest.fixture
def done(tiny, tmp_path):
    """The tiny suite, its folder of results, and a function that records its stages as done at some speed."""
    runs, made = tmp_path / "runs", plan(read(tiny))
    submit(runs, made)
    environment = describe_hardware(*resolve_device(made.suite.spec.execution), made.suite.spec.execution)

    def finish(cell, speed: float, **more) -> None:
        for stage, (work, *_) in zip(cell.stages, stage_work(made.suite, cell).values(), strict=True):
            result = RESULTS[stage.name](environment=environment, seconds=work.flops / speed, **more)
            record.succeed(folder_of(runs, cell) / stage.folder, result)

    return tiny, runs, finish


def shown(path, runs, capsys) -> dict:
    assert main(["plan", str(path), "--runs", str(runs), "--json"]) == DONE
    return json.loads(capsys.readouterr().out)["total"]


def test_the_time_that_is_left_is_unknown_until_it_is_measured(done, tmp_path, capsys):
    path, runs, finish = done
    before = shown(path, runs, capsys)
    assert (before["seconds_left"], before["seconds_left_range"]) == (None, None)
    assert before["unknown"] == ["training", "bound", "drawing left to right", "drawing"]
    assert main(["plan", str(path), "--runs", str(runs)]) == DONE
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "how long that takes is unknown: no training, bound, drawing left to right or drawing on such a network" in told
    )
    assert "to find out, run one cell of such a network" in told
    for cell, speed in zip(plan(read(path)).cells, (1e6, 4e6), strict=True):
        finish(cell, speed)
    path.write_text(path.read_text().replace("seeds: [0]", "seeds: [0, 1]"))
    after, cells = shown(path, runs, capsys), plan_status(plan(read(path)), runs).cells
    due = cells[1].remaining / 1e6 + cells[3].remaining / 4e6  # both were measured by themselves
    assert after["seconds_left"] == pytest.approx(due, abs=1)
    assert main(["plan", str(path), "--runs", str(runs)]) == DONE
    told = " ".join(capsys.readouterr().out.split())
    assert "at the speed of 6 stages timed on cpu, 1 thread, float32" in told
    assert "not counting the start of 2 processes, a few seconds each" in told


def test_the_file_of_speeds_says_what_the_folders_say(done):
    path, runs, finish = done
    execution = Execution(device="cpu")
    first, second = plan(read(path)).cells
    finish(first, 1e6)
    assert not (runs / NAME).exists()
    from_folders = read_speeds(runs, execution).measured
    assert len(from_folders) == 3
    restore_speeds(runs)
    assert read_speeds(runs, execution).measured == from_folders
    finish(second, 2e6)
    add_speeds(runs, folder_of(runs, second))
    add_speeds(runs, folder_of(runs, second))  # a stage counts once
    stages = read_speeds(runs, execution).measured
    assert stages[:3] == from_folders
    assert len(stages) == 6
    (runs / NAME).write_text((runs / NAME).read_text()[:-20])  # not written to its end
    assert {each.cell for each in read_speeds(runs, execution).measured} == {first.id, second.id}
    restore_speeds(runs)
    assert len((runs / NAME).read_text().splitlines()) == 6


def test_flops_of_training_are_those_that_were_counted(done):
    path, runs, finish = done
    cell = plan(read(path)).cells[0]
    finish(cell, 1e6, flops=123.0)
    assert next(each for each in read_speeds(runs, Execution(device="cpu")).measured).flops == 123.0


def test_a_device_that_is_not_here_has_no_speed(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    tiny.write_text(tiny.read_text().replace("device: cpu", "device: cuda"))
    total = shown(tiny, tmp_path / "runs", capsys)
    assert total["seconds_left"] is None
    assert "torch sees no GPU" in total["unknown"][0]


def test_networks_of_equal_sizes_are_the_same_however_they_are_written(tmp_path):
    presets = [f"network: {{preset: {preset}, layers: 1, width: 16, heads: 2" for preset in ("micro", "tiny")]
    path = write(tmp_path)
    names = set()
    for preset in presets:
        path.write_text(path.read_text().replace(presets[0], f"{preset}, gates: zero, condition: 8, mlp: gelu"))
        names.add(network_key(plan(read(path)).cells[0].science["network"]))
        path = write(tmp_path)
    assert len(names) == 1
