"""The nano text encoder computes what open_clip's text tower computes, on the same ids."""

import json

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from toffee_pipeline.models.tiny import untrained
from toffee_pipeline.models.tiny.text_encoder import build_projected_text_encoder, build_text_encoder
from toffee_pipeline.models.toffeenet import encode_prompts
from toffee_pipeline.models.weights import NANO_WEIGHTS

CAPTIONS = [
    "a photo of a red and white striped mug without a handle on a beach",
    "a watercolor painting of a toy car",
    "An Orange CAT,  in the jungle!",
    "zebra-crossing, 42 cafés & words that the world does not know",
    "",
]


@pytest.fixture(scope="module")
def tower() -> tuple[open_clip.CLIP, open_clip.SimpleTokenizer]:
    folder = NANO_WEIGHTS / "clip"
    model = open_clip.CLIP(**json.loads((folder / "open_clip_config.json").read_text())["model_cfg"])
    model.load_state_dict({name: value.float() for name, value in load_file(folder / "model.safetensors").items()})
    return model.eval(), open_clip.SimpleTokenizer(str(folder / "bpe.txt.gz"), context_length=model.context_length)


def test_ids_are_open_clips(tower) -> None:
    _, theirs = tower
    _, ours = build_text_encoder()
    for caption in CAPTIONS:
        expected = [theirs.sot_token_id, *theirs.encode(caption), theirs.eot_token_id]
        assert ours(caption).input_ids == expected, caption
    assert ours.model_max_length == theirs.context_length == 24


def test_a_long_caption_is_cut_and_keeps_its_end(tower) -> None:
    _, theirs = tower
    _, ours = build_text_encoder()
    long = "a red mug " * 20
    assert ours(long, truncation=True, max_length=24).input_ids == theirs([long])[0].tolist()


def test_states_are_open_clips(tower) -> None:
    model, theirs = tower
    encoder, ours = build_text_encoder()
    ids = theirs(CAPTIONS)
    with torch.no_grad():
        embedded = model.token_embedding(ids) + model.positional_embedding
        expected = model.ln_final(model.transformer(embedded, attn_mask=model.attn_mask))
        pooled = encoder(ids).pooler_output @ model.text_projection
        assert torch.allclose(pooled, model.encode_text(ids), atol=1e-4)
    found = encode_prompts(encoder, ours, CAPTIONS, torch.device("cpu"))
    assert found.shape == (5, 24, 128) and found.dtype == torch.float32
    for states, reference, row in zip(found, expected, ids, strict=True):
        length = int((row != 0).sum())  # what follows is padding, with another token
        assert torch.allclose(states[:length], reference[:length], atol=1e-4)


def test_the_projected_one_gives_clips_embedding(tower) -> None:
    model, theirs = tower
    _, ours = build_text_encoder()
    ids = ours(CAPTIONS, padding="max_length", truncation=True, max_length=24, return_tensors="pt").input_ids
    with torch.no_grad():
        embedding = build_projected_text_encoder()(ids).text_embeds
        assert torch.allclose(embedding, model.encode_text(theirs(CAPTIONS)), atol=1e-4)


def test_an_untrained_one_has_the_same_shape() -> None:
    encoder, tokenizer = untrained.build("sd2")
    trained, _ = build_text_encoder()
    shapes = {name: value.shape for name, value in encoder.state_dict().items()}
    assert shapes == {name: value.shape for name, value in trained.state_dict().items()}
    assert encode_prompts(encoder, tokenizer, ["a mug"], torch.device("cpu")).shape == (1, 24, 128)
