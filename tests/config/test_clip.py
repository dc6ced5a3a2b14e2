import open_clip
import pytest

from toffee_pipeline.config.clip import ClipSpec, architectures
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import ConfigError


def test_all_models_of_open_clip_are_known() -> None:
    assert set(architectures()) <= set(open_clip.list_models())  # a test may have added to these
    assert {"ViT-B-32-quickgelu", "ViT-B-16-SigLIP", "ViT-SO400M-14-SigLIP2", "coca_ViT-L-14"} <= set(architectures())


def test_an_unknown_model_is_one_line_with_those_that_are_close() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("nano", ("models.clip.architecture=ViT-B-16-SigLip",))
    line = str(caught.value)
    assert "\n" not in line and "models.clip.architecture" in line
    assert "no model 'ViT-B-16-SigLip'" in line and "ViT-B-16-SigLIP, " in line and "hf-hub:ORG/NAME" in line
    with pytest.raises(ConfigError, match="no model 'hf-hub:siglip'"):
        load_config("nano", ("models.clip.architecture=hf-hub:siglip",))


def test_a_model_of_the_hub_is_one_repository() -> None:
    architecture = "hf-hub:timm/ViT-B-16-SigLIP"
    config = load_config("sdxl", (f"models.clip.architecture={architecture}", "models.clip.revision=main"))
    assert config.models.clip == ClipSpec(id="timm/ViT-B-16-SigLIP", revision="main", architecture=architecture)
