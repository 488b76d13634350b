"""The model of a Hugging Face folder, built and loaded by transformers itself, for `--verify` alone."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from converters.read import Source
from converters.torch_side import imported
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.spectrogram_zoo import config_grid

_NAMES = {"hubert": "Hubert", "wav2vec2": "Wav2Vec2", "audio-spectrogram-transformer": "AST"}
"""`model_type` -> how the names of its classes begin."""
_TYPES = {"hubert": "hubert", "spectrogram_transformer": "audio-spectrogram-transformer"}
"""Our family -> the `model_type` where a config has none."""
_HEADS = ("HubertForSequenceClassification", "Wav2Vec2ForSequenceClassification", "ASTForAudioClassification")


def layers(
    file: Source, variables: Mapping[str, Any], config: ClassifierConfig, wave: np.ndarray, inputs: Any
) -> tuple[dict[str, Any], Any, str]:
    """Its layers by our names, its tokens for another head, and its name.

    Args:
      file: the folder.
      variables: the converted network's; only positions that were cut are taken from them.
      config: the converted network's.
      wave: (batch, time), what the folder's extractor takes.
      inputs: what our front end makes of it, a torch tensor.

    Raises:
      BadInput: transformers cannot be imported, or does not load the folder.
    """
    with quiet():
        model, name = _load(file, config, variables)
        base, seen = model.base_model, {}
        for number, block in enumerate(_blocks(base, config)):
            block.register_forward_hook(keep(seen, f"block {number + 1}"))
        first, last = ("conv features", "last hidden") if config.family == "hubert" else ("patches", "tokens")
        front = base.feature_extractor if config.family == "hubert" else base.embeddings.patch_embeddings
        front.register_forward_hook(keep(seen, first))
        base.register_forward_hook(keep(seen, last))
        if hasattr(model, "projector"):  # what it takes may be a sum of all layers
            model.projector.register_forward_pre_hook(lambda _, taken: seen.update({last: taken[0]}))
        outputs = model(inputs)
        theirs = {**_extracted(file, config, wave, inputs), **seen}
    if config.family == "hubert":
        theirs[first] = theirs[first].transpose(1, 2)
    if hasattr(outputs, "logits") and _same_head(model, variables):
        theirs["logits"] = outputs.logits
    return theirs, theirs[last], f"transformers' {name}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the library's progress bars, its reports on loading and its warnings on filter banks."""
    logging = imported("transformers").utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _load(file: Source, config: ClassifierConfig, variables: Mapping[str, Any]) -> tuple[Any, str]:
    """The folder's model in evaluation mode and float32, and the name of its class."""
    transformers, record = imported("transformers"), file.record or {}
    start = _NAMES[record.get("model_type", _TYPES[config.family])]
    name = f"{start}Model"
    own = {"projected_mean": f"{start}ForSequenceClassification", "token_pool": f"{start}ForAudioClassification"}
    named = own.get(config.head["kind"])
    if named in _HEADS and named in (record.get("architectures") or [named]):
        name = named
    wrong = (RuntimeError, ValueError, OSError, KeyError, imported("huggingface_hub.errors").StrictDataclassError)
    try:
        settings = _settings(getattr(transformers, f"{start}Config"), file, config)
        model, found = getattr(transformers, name).from_pretrained(
            file.path, config=settings, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except wrong as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInput(f"--verify: transformers does not load {file.path} ({first}), expected a whole folder") from None
    odd = [str(each) for kind in ("missing_keys", "mismatched_keys") for each in found[kind]]
    allowed = ("masked_spec_embed", *(() if config.family == "hubert" else ("position_embeddings",)))
    odd = [key for key in odd if not any(part in key for part in allowed)]
    if odd:
        raise BadInput(
            f"--verify: transformers finds {odd[:4]} missing or of another shape in {file.path}, expected the sizes of "
            "the weights in config.json"
        )
    if config.family != "hubert":
        import torch

        positions = np.array(variables["params"]["encoder"]["positions"])[None]
        model.base_model.embeddings.position_embeddings = torch.nn.Parameter(torch.from_numpy(positions))
    return model.float().eval(), name


def _settings(cls: Any, file: Source, config: ClassifierConfig) -> Any:
    """The folder's own config, with the clips of the converted network where positions depend on them."""
    settings = cls.from_pretrained(file.path)
    if config.family == "hubert":
        settings.tie_last_hidden_states = config.geometry.get("layer_sum") == "states"
    else:
        settings.max_length, settings.num_mel_bins = _frames(config), config.front_end["n_mels"]
    return settings


def _frames(config: ClassifierConfig) -> int:
    """Frames of a spectrogram that give the patches of the converted network."""
    columns = config_grid(config)[1]
    return (columns - 1) * config.geometry["stride"][1] + config.geometry["patch"][1]


def _blocks(base: Any, config: ClassifierConfig) -> Any:
    if config.family == "hubert" or not hasattr(base, "layers"):
        return base.encoder.layers if config.family == "hubert" else base.encoder.layer
    return base.layers


def keep(seen: dict[str, Any], name: str) -> Any:
    """A hook that keeps what a module gives, the first of it where it gives several."""

    def hook(module: Any, taken: Any, given: Any) -> None:
        seen[name] = given if hasattr(given, "shape") else given[0]

    return hook


def _extracted(file: Source, config: ClassifierConfig, wave: np.ndarray, inputs: Any) -> dict[str, Any]:
    """What the folder's own extractor makes of the noise, to compare our front end with; {} without one."""
    if file.preprocessor is None:
        return {}
    name = "Wav2Vec2FeatureExtractor" if config.family == "hubert" else "ASTFeatureExtractor"
    extractor = getattr(imported("transformers"), name).from_pretrained(file.path)
    if config.family != "hubert":
        extractor.max_length = inputs.shape[1]
    found = extractor(list(wave), sampling_rate=config.sample_rate, return_tensors="pt")
    return {"features": found["input_values"]}


def _same_head(model: Any, variables: Mapping[str, Any]) -> bool:
    """Whether the converted network has the folder's head, and not a new one."""
    last = getattr(model.classifier, "dense", model.classifier).weight.numpy().T
    ours = variables["params"]["head"]["classifier"]["kernel"]
    return last.shape == ours.shape and bool(np.array_equal(last, ours))
