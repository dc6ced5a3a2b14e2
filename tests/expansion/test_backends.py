"""What whoever answers needs of a cluster, and the key that a server is shown."""

import pytest

from actors.answering.backends import check_fits
from actors.answering.http import headers_of
from toffee_pipeline.config.expand import ExpansionConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import ConfigError, PlacementError
from toffee_pipeline.on_ray.placement import Cluster, Node

HERE = Cluster((Node(4, 1),))


def config_of(profile, *overrides):
    return load_config(profile, overrides, ExpansionConfig)


@pytest.mark.parametrize(
    ("profile", "settings", "words"),
    [
        ("transformers", ("transformers.num_gpus=1", "transformers.num_actors=2"), "2 GPUs and the cluster has 1"),
        ("transformers", ("transformers.num_cpus=4",), "5 CPUs and the cluster has 4"),
        ("vllm", ("vllm.num_engines=2", "vllm.tensor_parallel_size=2"), "4 GPUs and the cluster has 1"),
    ],
)
def test_a_model_for_which_no_machine_has_room_is_one_line(profile, settings, words):
    config = config_of(profile, *settings)
    with pytest.raises(PlacementError, match=f"the actors of backend={profile} need {words}: lower what") as caught:
        check_fits(config, HERE)
    assert "\n" not in str(caught.value)
    check_fits(config, Cluster(HERE.nodes, (Node(8, 4),)))  # an autoscaler may add it


def test_a_model_that_has_room_passes_and_a_server_needs_no_gpu():
    check_fits(config_of("transformers", "transformers.num_gpus=1", "transformers.num_cpus=3"), HERE)
    check_fits(config_of("vllm"), HERE)
    check_fits(config_of("http"), Cluster((Node(1),)))


@pytest.mark.parametrize("key", ["secret\n", " secret", "sec\r\nret", "s\u00e9cret"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_said(monkeypatch, key):
    monkeypatch.setenv("TEST_KEY", key)
    with pytest.raises(ConfigError, match="^http.api_key_variable: TEST_KEY holds a line break, a blank") as caught:
        headers_of(config_of("http", "http.api_key_variable=TEST_KEY"))
    assert "cret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_key_is_sent_as_it_stands(monkeypatch):
    monkeypatch.setenv("TEST_KEY", "sk-a/b+c=")
    assert headers_of(config_of("http", "http.api_key_variable=TEST_KEY")) == {"Authorization": "Bearer sk-a/b+c="}
