"""What each network is trained on: the right inputs, dropped as the config says, and its published start."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.helpers.training import encoded_rows, make_config
from toffee_pipeline.config.train import RefinerTraining, ToffeeNetTraining, ViewGeneratorTraining
from toffee_pipeline.images import black_out
from toffee_pipeline.nano.world import BACKGROUNDS, View, make_toy, render
from toffee_pipeline.train.data.examples import Reader
from toffee_pipeline.train.data.records import Record
from toffee_pipeline.train.data.task_examples import columns_of, examples_of
from toffee_pipeline.train.losses import diffusion_loss
from toffee_pipeline.train.tasks import make_task

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
INPUT, TARGET = (render(make_toy("teapot", 5), View(turn, 0.2), BACKGROUNDS[0]) for turn in (0.3, 1.0))
RUN = "data.sources=[{format: run, path: runs/demo}]"


class Pairs:
    """A source of one edit and one generation pair, as `run` gives them."""

    def files(self):
        return ["only"]

    def read(self, file):
        images = {"input": lambda: INPUT.rgb, "target": lambda: TARGET.rgb, "subject": lambda: INPUT.rgb}
        masked = {"masked": lambda: black_out(INPUT.rgb, INPUT.mask)}
        depth = lambda: TARGET.inverse_depth  # noqa: E731
        yield Record("e", images | masked, "a red teapot", lambda: INPUT.mask, depth, "teapot", "edit")
        yield Record("g", images, "a teapot on a beach", None, depth, "teapot", "generation")


def test_the_refiner_is_told_how_large_an_image_was():
    task = make_task(make_config(RefinerTraining))
    task.use(CPU)
    network, rows = task.build().eval(), encoded_rows(2)
    assert loss(task, network, rows) != loss(task, network, rows | {"target_side_px": np.array([64, 32], np.int32)})


def toffeenet(*overrides):
    task = make_task(make_config(ToffeeNetTraining, RUN, *overrides))
    task.use(CPU)
    return task


def rows_of(task):
    config = task.config
    examples, columns = examples_of(config), columns_of(config, None)
    reader = Reader((Pairs(),), ((0, "only"),), 1, examples, columns, config.size_px, config.seed, "a pair")
    (block,) = reader.blocks(0)
    order = np.argsort(block["kind"])  # edit first
    return {name: column[order] for name, column in block.items()}


def loss(task, network, rows):
    with torch.no_grad():
        return task.loss(network, rows, torch.Generator().manual_seed(3)).item()


@pytest.fixture(scope="module")
def network():
    """ToffeeNet whose zero-initialised inputs say something."""
    network = make_task(make_config(ToffeeNetTraining, RUN)).build()
    torch.manual_seed(0)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return network.eval()


def test_a_pair_becomes_mask_masked_image_and_prompt():
    task = toffeenet()
    rows = rows_of(task)
    assert list(rows["text"]) == ["a red teapot", "a teapot on a beach"]
    assert np.array_equal(rows["input"][0], INPUT.rgb)
    assert np.array_equal(rows["target"][1], TARGET.rgb)
    mask, masked = task._region(rows)
    assert mask.shape == (2, 1, 16, 16)
    assert 0 < mask[0].mean() < 1
    assert mask[1].min() == 1
    pictures = task.pictures(masked)
    black = task.encoders.latents([np.zeros((64, 64, 3), np.uint8)])
    assert torch.equal(masked[1], black[0])
    outside = ~INPUT.mask
    assert np.abs(pictures[0][outside].astype(int) - INPUT.rgb[outside]).mean() < 12
    assert pictures[0][INPUT.mask].mean() < 40
    assert task._depth(rows)[0, 0].numpy() == pytest.approx(TARGET.inverse_depth, abs=1e-3)


@pytest.mark.parametrize(("pairs", "kinds"), [("all", {"e", "g"}), ("edit", {"e"}), ("generation", {"g"})])
def test_variants_take_their_kind_of_pair(pairs, kinds):
    examples = examples_of(make_config(ToffeeNetTraining, RUN, f"pairs={pairs}"))
    records = list(Pairs().read("only"))
    taken = {record.key for record in records for _ in examples(record, np.random.default_rng(0))}
    assert taken == kinds


def test_reconstruction_shows_the_target_as_input():
    shares = {}
    for probability in (0.0, 0.25, 1.0):
        examples = examples_of(make_config(ToffeeNetTraining, RUN, f"reconstruction_probability={probability}"))
        rng = np.random.default_rng(0)
        record = next(Pairs().read("only"))
        shown = [example.images["input"] for _ in range(400) for example in examples(record, rng)]
        shares[probability] = shown.count("target") / 400
    assert shares[0.0] == 0
    assert shares[0.25] == pytest.approx(0.25, abs=0.06)
    assert shares[1.0] == 1


@pytest.mark.parametrize(
    ("override", "column", "other"),
    [
        ("constant_depth_probability", "depth", lambda rows: np.zeros_like(rows["depth"])),
        ("text_dropout", "text", lambda rows: np.array(["a dog", "a blue car"], object)),
        ("train.dino_dropout", "input", lambda rows: 255 - rows["input"]),
    ],
)
def test_a_dropped_condition_makes_no_difference_and_a_kept_one_does(override, column, other, network):
    fixed = ["constant_depth_probability=0", "text_dropout=0", "train.dino_dropout=0"]
    for probability in (0, 1):
        task = toffeenet(*fixed, f"{override}={probability}")
        rows = rows_of(task)
        changed = rows | {column: other(rows)}
        same = loss(task, network, rows) == loss(task, network, changed)
        assert same == bool(probability)


def test_dino_sees_the_segmented_subject_where_configured():
    whole = toffeenet()
    segmented = toffeenet("dino_input=segmented", "grounding.box_threshold=0", "grounding.text_threshold=0")
    rows = rows_of(whole)
    masks = segmented.encoders.segmenter.segment(list(rows["input"]), list(_subjects(rows)))
    expected = [image * mask[..., None] for image, mask in zip(rows["input"], masks, strict=True)]
    assert any(not mask.all() for mask in masks)
    torch.testing.assert_close(segmented.tokens(rows, "input"), whole.encoders.tokens(expected, ["teapot"] * 2))


def _subjects(rows):
    from toffee_pipeline.schema.subjects import Subject

    return (Subject("", name, "", 0) for name in rows["class_name"])


def test_depth_is_estimated_from_the_target_where_a_network_is_given():
    task = toffeenet("models.depth.weights=untrained")
    rows = rows_of(task)
    estimated = task._depth(rows)
    assert not np.allclose(estimated[0, 0].numpy(), rows["depth"][0], atol=0.05)
    assert torch.equal(estimated, task._depth(rows | {"depth": rows["depth"] * 0}))


def test_the_refiner_sees_photos_and_the_subjects_of_pairs():
    examples = examples_of(make_config(RefinerTraining))
    rng = np.random.default_rng(0)
    pair = next(Pairs().read("only"))
    assert [example.images["target"] for example in examples(pair, rng)] == ["subject"]
    photo = dataclasses.replace(pair, kind="", images={"image": lambda: INPUT.rgb})
    assert [example.images["target"] for example in examples(photo, rng)] == ["image"]


def test_the_view_generator_predicts_velocity():
    assert make_task(make_config(ViewGeneratorTraining)).scheduler.config.prediction_type == "v_prediction"


def test_min_snr_weighs_easy_timesteps_less():
    """With gamma above every SNR velocity's weight is SNR / (SNR + 1), with a tiny gamma gamma / (SNR + 1)."""
    scheduler = make_task(make_config(RefinerTraining)).scheduler
    latents = torch.randn(64, 8, 4, 4, generator=torch.Generator().manual_seed(0))

    def total(gamma):
        wrong = lambda noisy, timesteps: torch.zeros_like(noisy)  # noqa: E731
        return diffusion_loss(wrong, scheduler, latents, torch.Generator().manual_seed(1), gamma)

    unweighted, high, low = total(None), total(1e9), total(1e-3)
    assert low < high < unweighted
    assert low == pytest.approx(1e-3 * _mean_inverse(scheduler, latents), rel=0.2)


def _mean_inverse(scheduler, latents):
    generator = torch.Generator().manual_seed(1)
    torch.randn(latents.shape, generator=generator)
    timesteps = torch.randint(0, 1000, (len(latents),), generator=generator)
    return (1 - scheduler.alphas_cumprod[timesteps]).mean().item()
