"""Checkpoints that are not whole: named, set aside, and trained again to the same bits."""

from __future__ import annotations

import re

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from trained import files_of, same

from prehoc.errors import InputError
from prehoc.tasks.machine import CPU
from prehoc.training import checkpoint, loop, places, problems


def cut(left):
    def do(path):
        raw = path.read_bytes()
        path.write_bytes(raw[: int(len(raw) * left)])

    return do


def flipped(path):
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(bytes(raw))


def longer(path):
    path.write_bytes(path.read_bytes() + b"\0")


def tensors_of(path):
    with safe_open(path, framework="pt") as stream:
        return {k: stream.get_tensor(k) for k in stream.keys()}  # noqa: SIM118


def wrong_shape(path):
    save_file(tensors_of(path) | {"values": torch.zeros(4, 3)}, path)


def other_rows(path):
    save_file({k: v[:2].clone() for k, v in tensors_of(path).items()}, path)


def lacking(path):
    save_file({k: v for k, v in tensors_of(path).items() if k != "m"}, path)


def noise(path):
    path.write_bytes(b"\xff" * 500)


KINDS = {
    "half": (cut(0.5), "it holds .* bytes of"),
    "empty": (cut(0), "it is empty"),
    "header": (cut(0.05), "it is cut off"),
    "bit": (flipped, "its bytes do not match their checksums"),
    "longer": (longer, "it holds .* bytes of"),
    "shape": (wrong_shape, r"'values' has the shape \(3,\) a run"),
    "rows": (other_rows, r"it holds \[2\] runs, not 4"),
    "array": (lacking, "it holds no 'm'"),
    "noise": (noise, "it is cut off, or no checkpoint"),
}


@pytest.fixture
def trains(monkeypatch):
    """Trains seeds in a store of their own: records by seed, lines said, and stretches trained."""

    def make(config, store):
        done, said = [], []
        real = loop.advance

        def spy(config, setting, bank, group, start, end):
            done.append((start, end))
            real(config, setting, bank, group, start, end)

        config = config | {"store": f"{config['store']}-{store}"}
        with monkeypatch.context() as patch:
            patch.setattr(loop, "advance", spy)
            records, _ = loop.train(config, problems.build(config), range(4), said.append)
        return records, [line for line in said if "broken" in line], done

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_checkpoint_is_named_set_aside_and_trained_again(family, trains, kind):
    spoil, says = KINDS[kind]
    config = family("head")
    whole, _, _ = trains(config, "a")
    path = files_of(config, "a")[-2]  # depth 16 of 1, 4, 16, 32
    raw = path.read_bytes()
    for number, name in enumerate(("broken", "broken-2"), start=1):
        spoil(path)
        spoilt = path.read_bytes()
        again, lines, done = trains(config, "a")
        assert done == [(4, 16)]  # from the last whole depth, and no further than needed
        assert same(again, whole)
        assert path.read_bytes() == raw
        assert path.with_name(f"{path.name}.{name}").read_bytes() == spoilt
        assert len(list(path.parent.glob("*.broken*"))) == number
        assert len(lines) == 1
        assert str(path) in lines[0]
        assert re.search(f"broken: {says}.*; set aside as", lines[0])
    _, lines, done = trains(config, "a")
    assert not lines
    assert not done


def test_the_last_checkpoint_is_done_again_too(family, trains):
    config = family("head")
    whole, _, _ = trains(config, "a")
    cut(0.7)(files_of(config, "a")[-1])
    again, lines, done = trains(config, "a")
    assert done == [(16, 32)]
    assert same(again, whole)
    assert len(lines) == 1


def test_checkpoints_without_checksums_are_read(family, trains):
    config = family("head")
    whole, _, _ = trains(config, "a")
    for path in files_of(config, "a"):
        save_file(tensors_of(path), path, metadata={"meta": '{"seeds": [0, 1, 2, 3], "depth": 1}'})
    again, lines, done = trains(config, "a")
    assert (lines, done) == ([], [])
    assert same(again, whole)


def test_a_reader_renames_nothing_and_export_says_so(family, trains):
    from prehoc import adapter_files

    config = family("top")
    trains(config, "a")
    config = config | {"store": f"{config['store']}-a"}
    path = sorted((checkpoint.folder(config, problems.build(config).weights, checkpoint.protocol())).rglob("*.safetensors"))[-1]  # fmt: skip
    cut(0.5)(path)
    with pytest.raises(InputError, match=r"depth_00000032.safetensors: broken; train"):
        adapter_files.run_state(config, problems.build(config), CPU, 1, 32)
    assert path.exists()
    assert checkpoint.find(path.parents[1], [0, 1, 2, 3], 32) is None
    assert path.exists()


def test_headers_are_read_without_torch(family, trains):
    config = family("head")
    trains(config, "a")
    path = files_of(config, "a")[-1]
    head, whole = places.header(path), tensors_of(path)
    assert head.arrays.keys() == whole.keys()
    for name, tensor in whole.items():
        assert (head.array(name) == tensor.numpy()).all()
    assert head.meta["crc32"] == checkpoint.checksums(whole)
    assert head.meta["depth"] == 32
