"""Compiled code in a run directory: made once, loaded by who comes later, and only where a command asks for it."""

import shutil
from unittest.mock import patch

import pytest
import torch
from torch._dynamo.utils import counters
from torch._inductor import cpu_vec_isa
from torch._inductor.utils import fresh_cache
from torch.compiler._cache import CacheArtifactManager

from actors.compiled import compiled_shared
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import ConfigError, DamagedFile
from toffee_pipeline.rundir.description import GenerationRun
from toffee_pipeline.rundir.layout import COMPILED
from toffee_pipeline.rundir.run_file import decode
from toffee_pipeline.storage import open_storage

SHARED = ("device=cpu", "stages.draft.speed.compile=inductor", "output.share_compiled=true")
STAGES = ("draft", "judge")


def compile_something(config, output):
    """As an actor of a process of its own would; how many graphs were found ready."""
    plain = torch._inductor.config.patch({"cpp_cache_precompile_headers": False, "cpp.simdlen": 1})
    scalar = patch.object(cpu_vec_isa, "valid_vec_isa_list", list)  # else g++ compiles ten seconds of questions first
    with fresh_cache(), CacheArtifactManager.with_fresh_cache(), plain, scalar:
        torch._dynamo.reset()
        counters.clear()
        with compiled_shared(config, STAGES, str(output), print):
            torch.compile(lambda values: values.sin() * 2 + values)(torch.ones(8))
        return counters["inductor"]["fxgraph_cache_hit"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_what_the_first_actor_compiled_is_kept_and_the_next_one_finds_it(tmp_path):
    config, storage = load_config("nano", SHARED), open_storage(str(tmp_path))
    assert compile_something(config, tmp_path) == 0
    ((key, size_bytes),) = storage.list()
    assert key.startswith(f"{COMPILED}draft-") and size_bytes
    kept = storage.get(key)
    assert compile_something(config, tmp_path) == 1
    assert storage.get(key) == kept
    with fresh_cache(), CacheArtifactManager.with_fresh_cache():
        with compiled_shared(load_config("nano", (*SHARED, "stages.draft.batch_size=3")), STAGES, str(tmp_path), print):
            assert torch.compiler.save_cache_artifacts() is None  # nothing is there of another micro-batch
        storage.put(key, b"no artifacts")
        with compiled_shared(config, STAGES, str(tmp_path), print):
            pass
    assert storage.get(key) == b"no artifacts"


@pytest.mark.parametrize("override", ["output.share_compiled=false", "stages.draft.speed.compile=null"])
def test_nothing_is_kept_or_loaded_where_nobody_asks(tmp_path, override):
    with compiled_shared(load_config("nano", (*SHARED, override)), STAGES, str(tmp_path), print):
        pass
    assert not list(tmp_path.iterdir())


def test_a_store_that_fails_costs_a_line_and_not_the_actor(tmp_path):
    (tmp_path / COMPILED.rstrip("/")).symlink_to("/proc")  # which the store refuses
    said = []
    with compiled_shared(load_config("nano", SHARED), STAGES, str(tmp_path), said.append):
        pass
    (line,) = said
    assert line.startswith("compiling anew: ") and str(tmp_path) in line and "\n" not in line


def test_only_a_command_says_that_code_of_a_run_directory_is_run(tmp_path):
    config = load_config("nano", SHARED)
    run = GenerationRun.now("generate", config=config, plan_hash="0", num_rows=1, num_shards=1, roles={})
    assert b"share_compiled" not in run.encode()
    assert run.differences(decode(GenerationRun, run.encode(), "run.json")) == []
    theirs = run.encode().replace(b'"output": {', b'"output": {"share_compiled": true,')
    refused = "output.share_compiled: .* is refused: whether compiled code .* is said on the command line"
    with pytest.raises(DamagedFile, match=refused):
        decode(GenerationRun, theirs, "run.json")
    (tmp_path / "run.json").write_bytes(theirs)
    (tmp_path / "theirs.yaml").write_text("output: {share_compiled: true}")
    for name in ("run.json", "theirs.yaml"):
        with pytest.raises(ConfigError, match=refused):
            load_config(str(tmp_path / name))
    assert isinstance(load_config("nano", SHARED), RunConfig)
