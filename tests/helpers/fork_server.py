"""Ray's workers and agents, jobs on it, and pytest's own processes, forked from a process that has imported what they
would: seconds of a core for each of two hundred.

`python -m tests.helpers.fork_server SOCKET` imports the packages below and the project. A worker, an agent or a job
finds the socket in its environment as it starts (see `startup/sitecustomize.py`), hands its command, its environment
and its streams over, and ends as its fork does, which is killed with it. Ray itself is not imported before, as it reads
its settings then; nor does a fork keep the project's modules where it is to see another copy of the project.
`make test` starts one for all of its processes, and tells them its socket as `OF_ALL`.
"""

import atexit
import ctypes
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
ADDRESS = "TOFFEE_TESTS_FORK_SERVER"
"""The variable that names the socket to processes of Ray's tests."""
OF_ALL = "TOFFEE_TESTS_FORK_SERVER_OF_ALL"
"""That of a server which is there before pytest starts."""
OF_RAY = (
    "aiohttp",
    "google.protobuf.json_format",
    "grpc.aio",
    "jsonschema",
    "pandas",
    "psutil",
    "pyarrow.dataset",
    "requests",
)
"""What Ray imports."""
OF_PYTEST = ("boto3", "click.testing", "pytest", "torch._dynamo.utils", "xdist.remote")
OF_PROJECT = (
    "actors.executors.inline",
    "toffee_pipeline.models.depth",
    "toffee_pipeline.models.draft",
    "toffee_pipeline.models.grounded_sam",
    "toffee_pipeline.models.language_model",
    "toffee_pipeline.models.model_set",
    "toffee_pipeline.models.refiner",
    "toffee_pipeline.models.scores",
    "toffee_pipeline.models.view_generator",
    "toffee_pipeline.train.loop",
    "toffee_pipeline.train.tasks.refiner",
)
RARE = ("ray.llm", "ray.rllib", "ray.serve", "ray.tune")
"""What of Ray no test imports."""
OF_SETUPS = "_of_setups"
PR_SET_PDEATHSIG = 1
"""Of <linux/prctl.h>: what a process gets as its parent ends."""
PR_SET_THP_DISABLE = 41
"""And that it and its descendants ask for no huge pages, which pyarrow does: where a machine's free memory lies with
its host, the first touch of one takes 10 ms."""
REQUEST_BYTES = 200_000


@contextmanager
def fork_server(environment: Mapping[str, str], folder: Path) -> Iterator[dict[str, str]]:
    """Runs until the context ends, unless there is one for all; this environment, and where processes in it find the
    server. Until it is ready, they are not forked."""
    if OF_ALL in os.environ:
        yield {**environment, ADDRESS: os.environ[OF_ALL]}
        return
    address = folder / "fork_server"
    command = [sys.executable, "-m", "tests.helpers.fork_server", str(address)]
    server = subprocess.Popen(command, cwd=ROOT, env=dict(environment), start_new_session=True)
    try:
        yield {**environment, ADDRESS: str(address)}
        if server.poll() is not None:
            raise RuntimeError(f"{command} ended with {server.returncode}")
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def forked() -> dict[str, str]:
    """The environment of a process that is to be forked where there is one for all: `sitecustomize` says which can."""
    return {**os.environ, ADDRESS: os.environ.get(OF_ALL, "")}


def end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def ask_for_no_huge_pages() -> None:
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)


def modules_of(*packages: str) -> list[str]:
    return [name for name in sys.modules if name.split(".")[0] in packages]


def preload() -> None:
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # threads do not fork
    for name in (*OF_RAY, *OF_PYTEST, *OF_PROJECT):
        import_module(name)
    if early := modules_of("ray"):
        raise RuntimeError(f"imported before a worker's environment is known: {early[0]}")
    keep_code_of_ray()
    import_module("toffee_pipeline.storage.s3")._make_client("http://127.0.0.1:9")  # reads what all others will need
    gc.collect()
    gc.freeze()


def keep_code_of_ray() -> None:
    """Of Ray's modules, which each fork imports anew: to read it is a third of that."""
    (folder,) = find_spec("ray").submodule_search_locations  # type: ignore[union-attr]
    read, codes = SourceFileLoader.get_code, {}
    for path in Path(folder).rglob("*.py"):
        name = ".".join(("ray", *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
        if not name.startswith(RARE):
            codes[name] = read(SourceFileLoader(name, str(path)), name)
    SourceFileLoader.get_code = lambda loader, name: codes.get(name) or read(loader, name)  # type: ignore[method-assign]


def serve(address: str) -> list[str]:
    """Forks until it is killed; returns in each fork, with Python's words of what is to be run there."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen(64)
    # looked for once: a fork that goes through all modules copies the pages of their names
    of_tests, of_project = modules_of("tests"), modules_of("actors", "toffee_pipeline")
    waiting: dict[int, tuple[socket.socket, int]] = {}  # connection -> it, and the process
    ends: dict[int, int] = {}  # of a process -> connection
    while True:
        ready, _, _ = select.select([listener, *waiting, *ends], [], [])
        for item in ready:
            if item is listener:
                connection, _ = listener.accept()
                message, streams, _, _ = socket.recv_fds(connection, REQUEST_BYTES, 3)
                if not (pid := os.fork()):
                    for each in (listener, connection, *(client for client, _ in waiting.values())):
                        each.close()
                    for end in ends:
                        os.close(end)
                    return become(json.loads(message), streams, of_tests, of_project)
                for stream in streams:
                    os.close(stream)
                with suppress(OSError):  # who asked has been killed, which is seen next
                    connection.send(str(pid).encode())
                waiting[connection.fileno()] = connection, pid
                ends[os.pidfd_open(pid)] = connection.fileno()
            elif item in ends:
                connection, pid = waiting.pop(ends.pop(item))
                os.close(item)
                _, status = os.waitpid(pid, 0)
                with suppress(OSError):  # who waited has been killed
                    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
                connection.close()
            elif item in waiting:  # who waits says nothing: it has been killed, and so is its fork
                os.kill(waiting[item][1], signal.SIGKILL)


def become(request: dict, streams: list[int], of_tests: list[str], of_project: list[str]) -> list[str]:
    """Makes this process what the one that asked would have been; returns its words.

    of_tests, of_project: modules that it may have to forget.
    """
    os.setsid()  # Ray and tests kill whole groups
    end_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    os.nice(request["nice"] - os.nice(0))
    words = request["words"]
    is_script = words[0] not in ("-c", "-m")
    if not is_script:  # tests, which may use it: see `sitecustomize`
        sys.modules.pop("wandb", None)
    sys.argv, sys.orig_argv = words if is_script else [words[0], *words[2:]], [sys.executable, *words]
    sys.path[:] = [str(Path(words[0]).parent) if is_script else "", *request["path"]]
    own = not any(Path(folder, "toffee_pipeline").is_dir() for folder in sys.path if folder != str(ROOT))
    for name in of_tests + ([] if own else of_project):
        del sys.modules[name]
    return words


def run(words: list[str]) -> None:
    if words[0] == "-c":
        sys.modules["__main__"] = main = ModuleType("__main__")
        exec(words[1], main.__dict__)
    elif words[0] == "-m":
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(words[0], run_name="__main__")


def end(words: list[str]) -> None:
    """Runs what these words say and ends as Python does, but that the interpreter is not taken apart: that would copy
    every page which a fork shares, half a second of a core for each."""
    try:
        run(words)
        code: object = 0
    except SystemExit as error:
        code = error.code
    except KeyboardInterrupt:
        raise  # Python ends by the signal
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as Python does
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    address = sys.argv[1]
    ask_for_no_huge_pages()
    is_large = os.fork()
    end_with_parent()
    if is_large:
        preload()
    else:  # small, for what only starts a worker in turn: that a process is large shows as it forks
        import_module("ray._private.runtime_env.context")
        address += OF_SETUPS
    end(serve(address))
