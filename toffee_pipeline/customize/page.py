"""The page of `jobs/customize.py --serve`, for this machine alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toffee_pipeline.console.say import say
from toffee_pipeline.customize.desk import CANVAS_PX, REGIONS, Desk, Fields
from toffee_pipeline.errors import ConfigError, ToffeeError
from toffee_pipeline.rundir.trained import Trained

LOOPBACK = "127.0.0.1"


def serve(trained: Trained, output: Path, port: int) -> None:
    """Serves the page until Ctrl-C. Raises ConfigError without gradio, OSError where the port is taken."""
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise ConfigError("--serve needs a package that is not installed: pip install -e '.[serve]'") from error
    page = build_page(Desk(trained, output))
    say(f"{launch(page, output, port)}  (Ctrl-C ends it; pictures go to {output})")
    try:
        threading.Event().wait()
    finally:
        page.close(verbose=False)


def launch(page: Any, output: Path, port: int) -> str:
    """Starts to serve, and returns the URL. Nobody but this machine reaches it, whatever gradio's variables say."""
    _, url, _ = page.launch(
        server_name=LOOPBACK,
        server_port=port,
        share=False,
        ssr_mode=False,
        allowed_paths=[str(output.absolute())],
        footer_links=[],
        prevent_thread_lock=True,
        quiet=True,
    )
    return url


def build_page(desk: Desk) -> Any:
    """The gradio Blocks over a desk."""
    import gradio as gr

    def told(work: Callable[..., Any]) -> Callable[..., Any]:
        """Shows what the user can mend."""

        def run(*values: Any) -> Any:
            try:
                return work(*values)
            except (ToffeeError, OSError) as error:
                raise gr.Error(str(error), print_exception=False) from error

        return run

    with gr.Blocks(title="ToffeeNet", analytics_enabled=False) as page:
        with gr.Row():
            with gr.Column():
                photos = gr.File(label="Photos of the subject", file_count="multiple", file_types=["image"])
                prompt = gr.Textbox(label="Prompt", placeholder="a backpack in the jungle")
                strength = gr.Slider(0, 1.5, 0.8, step=0.05, label="Strength of the subject (lambda)")
                keep = gr.Checkbox(label="Keep the structure of the photo (depth)")
                with gr.Row():
                    count = gr.Slider(1, 8, 4, step=1, label="Pictures")
                    seed = gr.Number(0, precision=0, minimum=0, label="Seed")
                region = gr.Radio(REGIONS, value=REGIONS[0], label="Repaint")
                canvas = gr.ImageEditor(
                    label="Draw on the photo what is to be repainted",
                    type="numpy",
                    format="png",  # webp, the default, is lossy
                    sources=(),
                    transforms=(),
                    layers=False,
                    canvas_size=(CANVAS_PX, CANVAS_PX),
                    fixed_canvas=True,
                    brush=gr.Brush(default_size=48, colors=["#ffffff"], color_mode="fixed"),
                )
                with gr.Row():
                    class_name = gr.Textbox(label="What the subject is", placeholder="backpack")
                    find = gr.Button("Find it as mask")
                mask = gr.Image(
                    label="Mask: light is repainted", type="filepath", format="png", image_mode=None, sources=["upload"]
                )
            with gr.Column():
                generate = gr.Button("Generate", variant="primary")
                gallery = gr.Gallery(label="Pictures", interactive=False, columns=2)
                words = gr.Textbox(label="Time", interactive=False)
                files = gr.File(label="Download", file_count="multiple", interactive=False)
        alone = {"concurrency_id": "networks", "concurrency_limit": 1}
        photos.change(told(desk.canvas), photos, canvas)
        find.click(told(desk.find), [photos, class_name, prompt], mask, **alone).success(
            lambda: REGIONS[2], None, region
        )
        fields = Fields(photos, prompt, class_name, region, canvas, mask, keep, strength, count, seed)
        draw = told(lambda *values: desk.draw(Fields(*values)))
        generate.click(draw, list(fields), [gallery, files, words], **alone)
    return page
