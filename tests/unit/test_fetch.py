"""Models and data from a Hub on this machine into a store."""

import hashlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import commit_of, folder_bytes, serving

from prehoc.config.hub import Wanted, asked, copy_folder
from prehoc.errors import DiskFullError, InputError
from prehoc.fetching.choose import data_files, matching, model_files
from prehoc.fetching.fetch import fetch
from prehoc.fetching.mirror import MirrorFolder, record_file
from prehoc.tasks import hub as copies

MODEL = Wanted("model", "acme/tiny", None, None)
DATA = Wanted("data", "acme/texts", None, None)
CARD = """---
configs:
- config_name: small
  data_files:
  - {split: train, path: small/train*}
  - {split: test, path: small/test.csv}
- config_name: large
  data_files: large/*.csv
---
# Texts
"""
ROWS = "text,label\n" + "".join(f"w{i % 7} w{i % 3},{i % 2}\n" for i in range(40))


@pytest.fixture
def hub(monkeypatch):
    with serving() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("HF_TOKEN", "none")
        yield served


@pytest.fixture
def pushed(hub, tiny_encoder):
    """The Hub with the tiny encoder, beside files that nobody needs."""
    files = folder_bytes(tiny_encoder)
    waste = {
        "pytorch_model.bin": b"p",
        "modeling.py": b"import os",
        "README.md": b"#",
        "onnx/model.onnx": b"o",
    }
    hub.commit = hub.push("models", MODEL.name, {**files, **waste})
    hub.model = files
    return hub


@pytest.fixture
def said():
    return []


@pytest.fixture
def get(tmp_path, said):
    def call(item=MODEL, **options):
        options.setdefault("report", said.append)
        return fetch(item, tmp_path / "store", tmp_path / f"{item.key}.json", **options)

    return call


@pytest.fixture(autouse=True)
def _forget():
    yield
    copies._COPIES.clear()


def test_a_model_comes_whole_and_nothing_else_does(pushed, get, tmp_path, said):
    record = get()
    folder = tmp_path / "store" / copy_folder(MODEL, pushed.commit)
    assert record["commit"] == pushed.commit
    assert {n for n, _ in pushed.files()} == set(record["files"]) == set(pushed.model)
    for name, known in record["files"].items():
        data = (folder / name).read_bytes()
        assert data == pushed.model[name]
        assert known == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert sorted(p.name for p in folder.parent.iterdir()) == [pushed.commit]
    assert not list((tmp_path / "store/hub/locks").iterdir())
    assert any(f"revision: {pushed.commit}" in line for line in said)


def test_a_copy_is_read_as_its_folder_would_be(pushed, get, tmp_path, stage, tiny_encoder):
    from prehoc.tasks import models

    get()
    store = tmp_path / "store"
    block = {"name": MODEL.name, "revision": None, "max_length": 12}
    assert models.model_folder(block, store) == MODEL.name
    copies.use([tmp_path / f"{MODEL.key}.json"], store)
    folder = models.model_folder(block, store)
    assert models.revision_of(block, folder) == models.revision_of({"name": tiny_encoder}, tiny_encoder)
    models.load_encoder(folder, None)


def test_a_cut_download_goes_on_where_it_stopped(pushed, get, tmp_path, monkeypatch):
    from huggingface_hub import constants

    weights, cut = "model.safetensors", 40 * 1024
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)  # what is written at a time: 10 MB else
    assert cut < len(pushed.model[weights])
    pushed.cut[weights], pushed.down = cut, True
    with pytest.raises(InputError, match="answers 503"):
        get()
    assert not (tmp_path / f"{MODEL.key}.json").exists()
    assert not (tmp_path / "store" / copy_folder(MODEL, pushed.commit)).exists()
    pushed.cut.clear()
    before = len(pushed.files())
    get()
    asked_for = pushed.files()[before:]
    assert (weights, f"bytes={cut}-") in asked_for
    done = {n for n, _ in pushed.files()[:before]} - {weights}
    assert done  # files that were whole are not asked for again
    assert not done & {n for n, _ in asked_for}


def test_bytes_of_another_digest_are_fetched_again_once(pushed, get, tmp_path, said):
    pushed.lie = {"model.safetensors": 1, "config.json": 1}
    get()
    assert len(pushed.files("model.safetensors")) == len(pushed.files("config.json")) == 2
    assert sum("set aside" in line for line in said) == 2
    folder = tmp_path / "store" / copy_folder(MODEL, pushed.commit)
    assert not list(folder.glob(".*.wrong"))


def test_bytes_that_stay_wrong_are_refused(pushed, get, tmp_path):
    pushed.lie = {"model.safetensors": 9}
    with pytest.raises(InputError, match=r"model\.safetensors.*another digest.*HF_ENDPOINT"):
        get()
    assert len(pushed.files("model.safetensors")) == 2
    assert not (tmp_path / f"{MODEL.key}.json").exists()
    assert not (tmp_path / "store" / copy_folder(MODEL, pushed.commit)).exists()


def test_a_damaged_copy_is_mended(pushed, get, tmp_path, said):
    get()
    path = tmp_path / "store" / copy_folder(MODEL, pushed.commit) / "config.json"
    path.write_bytes(b"x" * path.stat().st_size)
    pushed.requests.clear()
    get()
    assert [n for n, _ in pushed.files()] == ["config.json"]
    assert path.read_bytes() == pushed.model["config.json"]
    path.unlink()
    with pytest.raises(InputError, match=r"config\.json: missing.*snakemake fetch"):
        copies.use([tmp_path / f"{MODEL.key}.json"], tmp_path / "store")


def test_a_whole_copy_needs_no_network(pushed, get, monkeypatch):
    pinned = Wanted("model", MODEL.name, pushed.commit, None)
    first = get()
    pushed.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert get()["commit"] == first["commit"]
    assert get(pinned)["revision"] == pushed.commit
    assert pushed.requests == []
    with pytest.raises(InputError, match="HF_HUB_OFFLINE"):
        get(Wanted("model", "acme/other", None, None))


def test_a_commit_stays_until_it_is_asked_for_anew(pushed, get, tmp_path):
    first = get()
    other = pushed.push("models", MODEL.name, {**pushed.model, "vocab.txt": b"new"})
    assert other != first["commit"]
    assert get()["commit"] == first["commit"]
    assert get(again=True)["commit"] == other
    assert (tmp_path / "store" / copy_folder(MODEL, first["commit"])).is_dir()
    assert get()["digest"] != first["digest"]


@pytest.mark.parametrize(
    ("item", "match"),
    [
        (Wanted("model", "acme/none", None, None), r"model\.name: acme/none.*no such model.*HF_TOKEN"),
        (Wanted("data", "acme/none", None, None), r"data\.name: acme/none.*no such dataset"),
        (Wanted("model", MODEL.name, "v9", None), r"model\.revision: v9.*no such revision"),
        (
            Wanted("model", "acme/gated", None, None),
            r"acme/gated: gated: accept the licence at http.*HF_TOKEN",
        ),
        (Wanted("model", "acme/pickled", None, None), "no \\*.safetensors weights"),
        (Wanted("model", "acme/bare", None, None), r"no config\.json"),
        (Wanted("data", "acme/script", None, None), "loading script is never run"),
        (Wanted("model", "a b", None, None), "a b.*no name of the Hub"),
    ],
)
def test_what_the_hub_refuses_is_one_line(pushed, get, tmp_path, item, match):
    pushed.push("models", "acme/gated", pushed.model)
    pushed.gated.add("acme/gated")
    pushed.push("models", "acme/pickled", {"config.json": b"{}", "pytorch_model.bin": b"p"})
    pushed.push("models", "acme/bare", {"model.safetensors": b"p"})
    pushed.push("datasets", "acme/script", {"script.py": b"p", "README.md": b"#"})
    with pytest.raises(InputError, match=match) as caught:
        get(item)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / f"{item.key}.json").exists()


def test_no_network_is_one_line(get, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="does not answer; check the network"):
        get()


def test_a_gated_model_comes_with_a_token(pushed, tmp_path):
    pushed.gated.add(MODEL.name)
    stage = tmp_path / "item.json"
    stage.write_text(json.dumps({**MODEL.payload(), "store": str(tmp_path / "store")}))
    refused, good = (run_fetch(stage, tmp_path, HF_TOKEN=token) for token in ("bad", "good"))
    assert refused.wait(60) == 1
    assert "accept the licence" in refused.stderr.read()
    assert good.wait(60) == 0, good.stderr.read()


def run_fetch(stage, folder, out="out.json", **env):
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "prehoc.cli",
            "fetch",
            "--item",
            str(stage),
            "--out",
            str(folder / out),
        ],
        env={**os.environ, **env},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_at_once_download_once(pushed, tmp_path):
    """Under two names of one commit, which lies in one folder."""
    pushed.slow = 0.2
    both = []
    for revision in (None, "main"):
        stage = tmp_path / f"item-{revision}.json"
        payload = {**MODEL.payload(), "revision": revision, "store": str(tmp_path / "store")}
        stage.write_text(json.dumps(payload))
        both.append(run_fetch(stage, tmp_path, f"{revision}.json"))
    said = [p.communicate(timeout=60)[1] for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    assert sorted(n for n, _ in pushed.files()) == sorted(pushed.model)
    assert json.loads((tmp_path / "None.json").read_text())["commit"] == pushed.commit
    assert json.loads((tmp_path / "main.json").read_text())["revision"] == "main"


def push_data(hub, readme=CARD):
    files = {
        "small/train.csv": ROWS, "small/test.csv": ROWS, "large/a.csv": ROWS, "script.py": "raise SystemExit",
        ".gitattributes": "", **({"README.md": readme} if readme else {}),
    }  # fmt: skip
    return hub.push("datasets", DATA.name, files)


@pytest.mark.parametrize(
    ("readme", "subset", "files", "splits"),
    [
        (CARD, "small", {"README.md", "small/train.csv", "small/test.csv"}, ["train", "test"]),
        (CARD, "large", {"README.md", "large/a.csv"}, ["train"]),
        ("", "small", {"small/train.csv", "small/test.csv"}, ["train", "test"]),
    ],
)
def test_data_comes_by_subset_and_is_read(hub, get, tmp_path, monkeypatch, readme, subset, files, splits):
    from prehoc.tasks.data import load_rows

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    push_data(hub, readme)
    item = Wanted("data", DATA.name, None, subset)
    record = get(item)
    assert set(record["files"]) == {n for n, _ in hub.files()} == files
    copies.use([tmp_path / f"{item.key}.json"], tmp_path / "store")
    hub.requests.clear()
    rows, named = load_rows(
        {"name": DATA.name, "revision": None, "subset": subset, "text": "text", "label": "label", "domain": None,
         "classes": None, "splits": dict(zip(("train", "target"), splits, strict=False))}
    )  # fmt: skip
    assert len(rows.labels) == 40 * len(splits)
    assert len(set(named.tolist())) == len(splits)
    assert hub.requests == []


def test_a_subset_must_be_known_and_named(hub, get):
    push_data(hub)
    with pytest.raises(InputError, match=r"data\.subset.*name one of small, large"):
        get(DATA)
    with pytest.raises(InputError, match=r"data\.subset.*'tiny'; it has small, large"):
        get(Wanted("data", DATA.name, None, "tiny"))


def test_a_mirror_folder_stands_in_for_the_hub(pushed, get, tmp_path, monkeypatch):
    mirror = tmp_path / "mirror"
    fetch(MODEL, mirror, record_file(mirror, MODEL), report=lambda line: None)
    pushed.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    record = get(source=MirrorFolder(mirror, MODEL))
    assert record["commit"] == pushed.commit
    folder = tmp_path / "store" / copy_folder(MODEL, pushed.commit)
    assert {n: (folder / n).read_bytes() for n in pushed.model} == pushed.model
    assert pushed.requests == []
    with pytest.raises(InputError, match="holds no data acme/texts"):
        MirrorFolder(mirror, DATA)


def test_a_damaged_mirror_is_refused(pushed, get, tmp_path):
    mirror = tmp_path / "mirror"
    fetch(MODEL, mirror, record_file(mirror, MODEL), report=lambda line: None)
    path = mirror / copy_folder(MODEL, pushed.commit) / "config.json"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(InputError, match="another digest"):
        get(source=MirrorFolder(mirror, MODEL))
    assert not (tmp_path / "store" / copy_folder(MODEL, pushed.commit)).exists()


def test_a_lost_writers_file_is_copied_never_shared(pushed, get, tmp_path):
    """A writer that wakes up after its lock was taken over must not write into what is finished."""
    weights = "model.safetensors"
    partial = (tmp_path / "store" / copy_folder(MODEL, pushed.commit)).with_name(
        f".{pushed.commit}.partial"
    )
    partial.mkdir(parents=True)
    left = partial / f".{weights}.1-aaaa.part"
    left.write_bytes(pushed.model[weights][:1000])
    with left.open("ab") as lost:
        get()
        lost.write(b"late")
    assert (weights, "bytes=1000-") in pushed.files()
    final = tmp_path / "store" / copy_folder(MODEL, pushed.commit)
    assert (final / weights).read_bytes() == pushed.model[weights]


def test_which_files_of_a_model():
    names = ["config.json", "tokenizer.json", "tokenization.py", "tokenizer.bin", "a/config.json", "../vocab.txt",
             "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
             "consolidated.safetensors", "model.safetensors.index.json"]  # fmt: skip
    assert model_files(names, "m").files == [
        "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
        "model.safetensors.index.json", "tokenizer.json"]  # fmt: skip
    assert model_files([*names, "model.safetensors"], "m").files == [
        "config.json", "model.safetensors", "tokenizer.json"]  # fmt: skip


def test_patterns_are_the_hubs():
    names = ["a/train-1.parquet", "a/b/train-2.parquet", "train.csv", "x.csv"]
    assert matching("a/*", "", names) == names[:2]  # a folder that matches means what is in it
    assert matching("**/train*", "", names) == names[:3]
    assert matching("train-[0-9].parquet", "a", names) == names[:1]
    assert matching("./x.csv", "", names) == ["x.csv"]
    assert matching("a", "", names) == names[:2]
    chosen = data_files(["../../e.csv", "/e.csv", ".git/e.csv", "e.csv"], "", None, "d")
    assert chosen.files == ["e.csv"]


def test_what_is_asked_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("owner/name").mkdir(parents=True)
    for name in ("packaged:bbc-news", "./here", "a.csv", "owner/name"):
        assert asked("data", {"name": name, "revision": None, "subset": None}) is None
    one = asked("data", {"name": "o/n", "revision": None, "subset": None})
    two = asked("data", {"name": "o/n", "revision": None, "subset": "s"})
    assert one != two
    assert one.key != two.key
    assert commit_of({}) == commit_of({})


def test_a_full_disk_keeps_what_has_come(pushed, get, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, before[1]))
    try:
        with pytest.raises(DiskFullError, match="the disk, a quota or a limit") as caught:
            get()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / f"{MODEL.key}.json").exists()
    pushed.requests.clear()
    get()
    assert any(n == "model.safetensors" and asked for n, asked in pushed.files())


def test_to_pin_what_was_fetched_changes_no_run(pushed, get, stage, tmp_path):
    from prehoc.tasks.encode import encode
    from prehoc.training import checkpoint

    store, local = tmp_path / "store", stage()
    asked_for = {rev: Wanted("model", MODEL.name, rev, None) for rev in (None, "main", pushed.commit)}
    folders, encodings = set(), set()
    for rev, item in asked_for.items():
        get(item)
        config = stage(store=str(store), model={**local["model"], "name": MODEL.name, "revision": rev})
        copies.use([tmp_path / f"{item.key}.json"], store)
        made = encode(config, None)
        folders.add(checkpoint.folder(config, made.meta["weights"], checkpoint.protocol()))
        encodings |= set((store / "encodings").glob("*.safetensors"))
    assert len(folders) == len(encodings) == 1
    assert copies.fetched_commits(tmp_path) == {}
    copies._COPIES.clear()
    there = encode(local, None)  # the folder itself: other files of the store, the same numbers
    assert there.meta["weights"] == made.meta["weights"]
    assert there.tensors.keys() == made.tensors.keys()
    assert all(there.tensors[k].equal(v) for k, v in made.tensors.items())


def test_a_damaged_file_of_the_same_size_is_found_where_it_is_asked_for(pushed, get, tmp_path):
    get()
    record = tmp_path / f"{MODEL.key}.json"
    path = tmp_path / "store" / copy_folder(MODEL, pushed.commit) / "config.json"
    path.write_bytes(path.read_bytes().replace(b"{", b"[", 1))
    copies.use([record], tmp_path / "store")  # by size alone: as each training job does
    with pytest.raises(InputError, match=r"config\.json: damaged, though .*forcerun"):
        copies.use([record], tmp_path / "store", thoroughly=True)


def test_subsets_of_like_names_have_folders_of_their_own():
    folders = {copy_folder(Wanted("data", "a/b", None, s), "c") for s in ("x/y", "x_y", "x:y", None)}
    assert len(folders) == 4
