"""ToffeeNet: it starts as its base, each condition reaches its own sample, and its files are stock files."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionControlNetInpaintPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from tests.helpers.toffeenet_run import randomized
from toffee_pipeline.config.base import SamplingConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import black_out
from toffee_pipeline.models.autoencoder import Autoencoder
from toffee_pipeline.models.networks.dino_adapter import adapters
from toffee_pipeline.models.networks.toffeenet import ADAPTER_FILE
from toffee_pipeline.models.tiny import untrained
from toffee_pipeline.models.tiny.architectures import DINO_DIM, build_toffeenet_base_unet
from toffee_pipeline.models.toffeenet import CONSTANT_DEPTH, ToffeeNet, ToffeeNetNetwork, encode_prompts

pytestmark = pytest.mark.slow

TIMESTEPS = torch.tensor([3, 500, 999])
PROMPTS = ["a red mug on a beach", "a toy car", "a cartoon of a cat"]
SEEDS = [5, 6, 7]


@pytest.fixture(scope="module")
def network() -> ToffeeNetNetwork:
    """To be read only."""
    return randomized(untrained.build("toffeenet"))


@pytest.fixture(scope="module")
def frozen() -> tuple[AutoencoderKL, CLIPTextModel, CLIPTokenizer]:
    """What ToffeeNet is sampled with and saved beside."""
    return untrained.build("vae"), *untrained.build("sd2")


@pytest.fixture
def inputs(tokens: Tensor) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return {
        "latents": torch.randn((3, 8, 16, 16), generator=generator),
        "encoder_hidden_states": torch.randn((3, 24, 128), generator=generator),
        "tokens": tokens,
        "mask": (torch.rand((3, 1, 16, 16), generator=generator) < 0.5).float(),
        "masked_latents": torch.randn((3, 8, 16, 16), generator=generator),
        "depth": torch.rand((3, 1, 64, 64), generator=generator),
    }


@pytest.fixture
def make_toffeenet(network: ToffeeNetNetwork, frozen: tuple, device: torch.device) -> Callable[..., ToffeeNet]:
    vae, text_encoder, tokenizer = frozen

    def make(dino_scale: float = 1.0, dino_guidance_scale: float | None = None, **sampling: Any) -> ToffeeNet:
        options = {"scheduler": "ddim", "num_inference_steps": 2, "guidance_scale": 2.0} | sampling
        return ToffeeNet(
            network,
            Autoencoder(vae),
            text_encoder,
            tokenizer,
            SamplingConfig(**options),
            device,
            dino_scale=dino_scale,
            dino_guidance_scale=dino_guidance_scale,
        )

    return make


def predict(network: ToffeeNetNetwork, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return network(timestep=TIMESTEPS, **inputs)


def difference(first: Tensor, second: Tensor) -> list[float]:
    return (first - second).abs().amax((1, 2, 3)).tolist()


def test_it_starts_as_its_base_whatever_the_new_inputs_are(inputs: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    base = build_toffeenet_base_unet().eval()
    text = inputs["encoder_hidden_states"]
    with torch.no_grad():
        expected = base(inputs["latents"], TIMESTEPS, encoder_hidden_states=text).sample
    network = ToffeeNetNetwork.from_base(base, DINO_DIM, untrained.epsilon_scheduler(), 4).eval()
    assert torch.allclose(predict(network, inputs), expected, atol=1e-6)
    assert network.scheduler.config.prediction_type == "epsilon"


@pytest.mark.parametrize("name", ["encoder_hidden_states", "tokens", "mask", "masked_latents", "depth"])
def test_a_condition_reaches_its_own_sample_alone(
    network: ToffeeNetNetwork, inputs: dict[str, Tensor], name: str
) -> None:
    """IP-Adapter's attention would mix samples if tokens came in another batch size (see ToffeeNetNetwork.forward)."""
    changed = inputs[name].clone()
    changed[0] = changed[0].flip(-1) + 0.5
    first, *others = difference(predict(network, inputs), predict(network, inputs | {name: changed}))
    assert first > 1e-3 and others == [0, 0]


def test_a_doubled_batch_computes_both_halves(network: ToffeeNetNetwork, inputs: dict[str, Tensor]) -> None:
    """As under guidance: another batch's tokens in the second half."""
    second = inputs | {"tokens": inputs["tokens"].roll(1, 0)}
    both = {name: torch.cat([inputs[name], second[name]]) for name in inputs}
    with torch.no_grad():
        found = network(timestep=TIMESTEPS.repeat(2), **both)
    assert torch.allclose(found, torch.cat([predict(network, inputs), predict(network, second)]), atol=1e-5)


def test_tokens_of_another_batch_size_are_refused(network: ToffeeNetNetwork, inputs: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match="6 sequences of DINO tokens for 3 latents"):
        predict(network, inputs | {"tokens": inputs["tokens"].repeat(2, 1, 1)})


def test_depth_of_one_or_three_channels_is_the_same(network: ToffeeNetNetwork, inputs: dict[str, Tensor]) -> None:
    three = inputs | {"depth": inputs["depth"].repeat(1, 3, 1, 1)}
    assert torch.equal(predict(network, inputs), predict(network, three))


def test_dino_scale_weighs_the_tokens(network: ToffeeNetNetwork, inputs: dict[str, Tensor]) -> None:
    """At 0 they do not matter; and attention's output is text + scale * dino, checked in one layer."""
    network = copy.deepcopy(network)
    assert network.dino_scale == 1
    other = inputs | {"tokens": inputs["tokens"].roll(1, 0)}
    network.dino_scale = 0.0
    assert torch.equal(predict(network, inputs), predict(network, other))
    attention = network.unet.mid_block.attentions[0].transformer_blocks[0].attn2
    hidden, text, dino = torch.randn(2, 16, 96), torch.randn(2, 24, 128), [torch.randn(2, 1, 257, 128)]
    results = []
    for scale in (0.0, 0.5, 1.0):
        network.dino_scale = scale
        with torch.no_grad():
            results.append(attention(hidden, encoder_hidden_states=(text, dino)))
    assert torch.allclose(2 * (results[1] - results[0]), results[2] - results[0], atol=1e-5)
    assert not torch.allclose(results[0], results[2], atol=1e-2)


def test_keys_start_as_the_texts_and_values_at_zero() -> None:
    unet = untrained.build("toffeenet").unet
    processors = adapters(unet)
    assert list(processors) == [str(number) for number in range(1, 2 * len(processors), 2)]
    assert not any(processor.to_v_ip[0].weight.any() for processor in processors.values())
    attention = unet.mid_block.attentions[0].transformer_blocks[0].attn2
    assert torch.equal(attention.processor.to_k_ip[0].weight, attention.to_k.weight)


def test_every_weight_learns_and_checkpointing_changes_no_gradient(
    network: ToffeeNetNetwork, inputs: dict[str, Tensor]
) -> None:
    network = copy.deepcopy(network).train()
    gradients = []
    for checkpointed in (False, True):
        if checkpointed:
            network.enable_gradient_checkpointing()
        network.zero_grad()
        network(timestep=TIMESTEPS, **inputs).square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in network.named_parameters()})
    assert network.unet.is_gradient_checkpointing and network.controlnet.is_gradient_checkpointing
    assert [name for name, gradient in gradients[0].items() if gradient is None or not gradient.any()] == []
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], rtol=1e-3, atol=1e-5 * gradient.abs().max()), name


def test_round_trip_is_exact(
    tmp_path: Path, network: ToffeeNetNetwork, frozen: tuple, inputs: dict[str, Tensor]
) -> None:
    network.save(tmp_path, *frozen)
    again = ToffeeNetNetwork.load(tmp_path)
    assert not any(module.training for module in again.modules())
    assert torch.equal(predict(network, inputs), predict(again, inputs))
    assert again.scheduler.config.prediction_type == network.scheduler.config.prediction_type == "v_prediction"
    again.save(tmp_path / "again", *frozen)
    for path in tmp_path.rglob("*.safetensors"):
        if "again" not in path.parts:
            assert (tmp_path / "again" / path.relative_to(tmp_path)).read_bytes() == path.read_bytes()
    half = ToffeeNetNetwork.load(tmp_path, torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert (predict(half, inputs).float() - predict(network, inputs)).abs().mean() < 0.1


def test_stock_classes_read_the_folder(
    tmp_path: Path, network: ToffeeNetNetwork, frozen: tuple, inputs: dict[str, Tensor]
) -> None:
    network.save(tmp_path, *frozen)
    unet, report = UNet2DConditionModel.from_pretrained(tmp_path, subfolder="unet", output_loading_info=True)
    assert not any(report.values()), report
    assert unet.config.encoder_hid_dim_type is None and unet.config.in_channels == 17
    controlnet, report = ControlNetModel.from_pretrained(tmp_path, subfolder="controlnet", output_loading_info=True)
    assert not any(report.values()), report
    vae, text_encoder, tokenizer = frozen
    pipeline = StableDiffusionControlNetInpaintPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        controlnet=controlnet,
        scheduler=untrained.velocity_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.load_ip_adapter(str(tmp_path), subfolder="", weight_name=ADAPTER_FILE, image_encoder_folder=None)
    stock = ToffeeNetNetwork(pipeline.unet, pipeline.controlnet, pipeline.scheduler).eval()
    assert torch.equal(predict(stock, inputs), predict(network, inputs))
    names = set(network.state_dict())
    assert set(stock.state_dict()) == names


def test_new_images_are_independent_and_follow_every_condition(
    make_toffeenet: Callable[..., ToffeeNet], tokens: Tensor, images: list[np.ndarray], assert_independent: Callable
) -> None:
    model = make_toffeenet()

    def generate(rows: list[int], prompts: list[str] = PROMPTS, **depths: Any) -> list[np.ndarray]:
        return model.generate(tokens[rows], [prompts[i] for i in rows], [SEEDS[i] for i in rows], **depths)

    assert_independent(generate)
    plain = generate([0])[0]
    depth = images[0][..., 0].astype(np.float32) / 255
    assert not np.array_equal(plain, generate([0], depths=[depth])[0])
    assert np.array_equal(plain, generate([0], depths=[np.full_like(depth, CONSTANT_DEPTH)])[0])
    assert not np.array_equal(plain, generate([0], PROMPTS[::-1])[0])
    assert not np.array_equal(plain, model.generate(tokens[1:2], PROMPTS[:1], SEEDS[:1])[0])


def test_edits_are_independent_and_exact_outside_the_mask(
    make_toffeenet: Callable[..., ToffeeNet],
    tokens: Tensor,
    images: list[np.ndarray],
    assert_independent: Callable,
) -> None:
    model = make_toffeenet(scheduler="dpm++", num_inference_steps=3)
    rng = np.random.default_rng(0)
    masks = [np.kron(rng.random((8, 8)) < 0.4, np.ones((8, 8), bool)) for _ in SEEDS]

    def edit(rows: list[int]) -> list[np.ndarray]:
        columns = ([values[i] for i in rows] for values in (images, masks, PROMPTS, SEEDS))
        return model.edit(tokens[rows], *columns)

    assert_independent(edit)
    edited = edit([0, 1, 2])
    for target, original, mask in zip(edited, images, masks, strict=True):
        assert np.array_equal(target[~mask], original[~mask])
        assert (target[mask] != original[mask]).any()
    # what is inside the mask never reaches the network
    hidden = [black_out(image, mask) for image, mask in zip(images, masks, strict=True)]
    unseen = model.edit(tokens, hidden, masks, PROMPTS, SEEDS)
    for first, second, mask in zip(edited, unseen, masks, strict=True):
        assert np.array_equal(first[mask], second[mask])


def test_the_null_branch_has_neither_text_nor_tokens(
    make_toffeenet: Callable[..., ToffeeNet], tokens: Tensor, device: torch.device
) -> None:
    """With an empty prompt and zero tokens both branches agree, so the scale does not matter; else it does."""
    null, plain, strong = [""], make_toffeenet(guidance_scale=1.0), make_toffeenet(guidance_scale=3.0)
    zeros = torch.zeros_like(tokens[:1])
    first, second = (model.generate(zeros, null, SEEDS[:1])[0].astype(int) for model in (plain, strong))
    assert np.abs(first - second).max() <= 1
    for sample_tokens, prompts in ((tokens[:1], null), (zeros, PROMPTS[:1])):
        first, second = (model.generate(sample_tokens, prompts, SEEDS[:1])[0] for model in (plain, strong))
        assert not np.array_equal(first, second)


def test_text_and_tokens_guided_apart(make_toffeenet: Callable[..., ToffeeNet], tokens: Tensor) -> None:
    """With equal scales the two guidances are one; each scale acts through its own condition alone."""

    def drawn(prompt: str, dino_guidance_scale: float | None = None, guidance_scale: float = 2.0) -> np.ndarray:
        model = make_toffeenet(dino_guidance_scale=dino_guidance_scale, guidance_scale=guidance_scale)
        return model.generate(tokens[:1], [prompt], SEEDS[:1])[0].astype(int)

    together, apart = drawn(PROMPTS[0]), drawn(PROMPTS[0], 2.0)
    assert np.abs(together - apart).max() <= 1
    assert np.abs(together - drawn(PROMPTS[0], 4.0)).max() > 1
    assert np.abs(drawn("", 2.0, 2.0) - drawn("", 2.0, 9.0)).max() <= 1  # no text, nothing that its scale could guide


def test_without_dino_scale_the_subject_is_ignored(
    make_toffeenet: Callable[..., ToffeeNet], network: ToffeeNetNetwork, tokens: Tensor
) -> None:
    drawn = {
        scale: [make_toffeenet(dino_scale=scale).generate(tokens[[i]], PROMPTS[:1], SEEDS[:1])[0] for i in (0, 1)]
        for scale in (0.0, 0.5, 1.0)
    }
    assert np.array_equal(*drawn[0.0])
    assert not np.array_equal(*drawn[0.5])
    assert not np.array_equal(drawn[0.5][0], drawn[1.0][0])
    assert network.dino_scale == 1  # a network in training goes on as it was


def test_a_sample_that_breaks_is_an_error_and_its_neighbours_live(
    make_toffeenet: Callable[..., ToffeeNet], tokens: Tensor
) -> None:
    model = make_toffeenet()
    broken = tokens.clone()
    broken[1] = torch.nan
    expected, found = (model.generate(each, PROMPTS, SEEDS) for each in (tokens, broken))
    assert isinstance(found[1], SampleError)
    assert all(np.array_equal(found[i], expected[i]) for i in (0, 2))


def test_depth_of_another_size_is_refused(make_toffeenet: Callable[..., ToffeeNet], tokens: Tensor) -> None:
    depth = np.zeros((128, 128), np.float32)
    with pytest.raises(ValueError, match=r"\(128, 128\) for images of \(64, 64\)"):
        make_toffeenet().generate(tokens[:1], PROMPTS[:1], SEEDS[:1], [depth])


def test_prompts_may_enter_training(frozen: tuple, device: torch.device) -> None:
    _, text_encoder, tokenizer = frozen
    states = encode_prompts(text_encoder, tokenizer, PROMPTS, device)
    layer = nn.Linear(128, 1)
    layer(states).sum().backward()  # tensors of inference_mode would refuse
    assert layer.weight.grad is not None and states.dtype == torch.float32
